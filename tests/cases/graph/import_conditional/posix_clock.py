def clock():
    return 2
