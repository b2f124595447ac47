def work():
    return 1


def inner():
    return work


def middle():
    found = inner()
    return found


def outer():
    return middle()
