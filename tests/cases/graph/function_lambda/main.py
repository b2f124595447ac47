def shift(value):
    return value + 1


twice = lambda value: shift(shift(value))
twice(1)
(lambda: shift(2))()


def make(step):
    return lambda value: step(value)


make(lambda value: shift(value))(3)
