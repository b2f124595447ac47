hook = None


def work():
    return 1


def install():
    global hook
    hook = work


def fire():
    hook()


install()
fire()
