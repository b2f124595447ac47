def name():
    return local()


def local():
    return "right"
