def train(model, rate=0.1, *batches, seed, **options):
    return model


def plain(first, /, second, *, third=3):
    return first


def fixed(first, second):
    return second


train(1, 0.2, 3, 4, seed=5, depth=6)
train(1, seed=2)
plain(1, second=2)
fixed(*[1, 2])
fixed(**{"second": 2, "first": 1})
