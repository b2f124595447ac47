def work():
    return 1


def other():
    return 2


def inner(first, option=None):
    return first() + option()


def outer(*args, **kwargs):
    return inner(*args, **kwargs)


def every(*steps, **named):
    for step in steps:
        step()
    return named["last"]()


outer(work, option=other)
every(work, other, last=other)
inner(*[work, other])
inner(**{"first": work, "option": other})
