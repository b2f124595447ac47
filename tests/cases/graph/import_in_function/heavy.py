def build():
    return 1


def close():
    return 2
