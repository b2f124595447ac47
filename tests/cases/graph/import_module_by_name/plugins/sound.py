def play():
    return 1
