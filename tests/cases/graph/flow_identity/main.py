def plain():
    return 1


def fancy():
    return 2


def exists(value):
    return value is not None


def default(value, otherwise):
    return value if exists(value) else otherwise


def same(value):
    return value


default(None, plain)()
default(None, fancy)()
same(plain)()
same(fancy)()
