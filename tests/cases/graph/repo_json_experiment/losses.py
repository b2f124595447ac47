def squared(left, right):
    return (left - right) ** 2
