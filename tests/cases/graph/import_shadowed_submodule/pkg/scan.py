def scan():
    return 1
