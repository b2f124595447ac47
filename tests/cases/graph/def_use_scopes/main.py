rate = 0.1
depth = 2


def outer(x):
    y = x
    rate = y

    def inner(x):
        return x + y

    return inner(rate)


print(rate + depth)
square = lambda value: value * depth
