class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, value):
        return self.factor * value


def apply(function, value):
    return function(value)


scale = Scale(2)
scale(3)
apply(scale, 4)
Scale(5)(6)
