from cfg import Cfg


def outer(c):
    inner(c)


def inner(c):
    c.check()


outer(Cfg())
