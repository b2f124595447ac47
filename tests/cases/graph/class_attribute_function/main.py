def relu(value):
    return max(value, 0)


class Block:
    activation = staticmethod(relu)

    def __init__(self):
        self.other = relu

    def run(self):
        return self.activation(1) + self.other(2)


class Leaky(Block):
    activation = staticmethod(abs)


Block().run()
