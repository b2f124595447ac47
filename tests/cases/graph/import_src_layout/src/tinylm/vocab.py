def size():
    return 256
