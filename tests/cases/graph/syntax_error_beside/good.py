def work():
    return helper()


def helper():
    return 1
