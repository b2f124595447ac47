def down():
    return 2
