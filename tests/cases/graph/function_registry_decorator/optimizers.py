from registry import register


@register("adam")
def make_adam():
    return 1


@register("sgd")
def make_sgd():
    return 2
