from ops import *

mul()
_carry()


def late():
    return add()
