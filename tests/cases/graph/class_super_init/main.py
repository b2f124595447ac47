class Layer:
    def __init__(self, width):
        self.width = width


class Dense(Layer):
    def __init__(self, width):
        super().__init__(width)
        super(Dense, self).check()
        Layer.check(self)


class Wide(Dense):
    def __init__(self):
        super().__init__(64)


def check(self):
    return self.width


Layer.check = check
Wide()
