def hinge(value):
    return max(0, 1 - value)
