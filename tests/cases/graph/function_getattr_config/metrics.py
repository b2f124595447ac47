def accuracy():
    return 1
