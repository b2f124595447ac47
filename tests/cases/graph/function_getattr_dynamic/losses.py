def mse(left, right):
    return (left - right) ** 2


def mae(left, right):
    return _distance(left, right)


def _distance(left, right):
    return abs(left - right)
