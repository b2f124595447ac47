class Optimizer:
    def __init__(self, rate):
        self.rate = rate

    def step(self):
        return self.rate


class Momentum(Optimizer):
    def step(self):
        return super().step() * 2


class Heavy(Momentum):
    pass


Heavy(0.1).step()
