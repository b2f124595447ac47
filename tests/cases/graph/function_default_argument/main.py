def plain(value):
    return value


def fancy(value):
    return -value


def apply(value, step=plain, *, after=plain):
    return after(step(value))


apply(1)
apply(2, fancy)
