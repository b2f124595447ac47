import sys


class Adam:
    def __init__(self, rate):
        self.rate = rate

    def step(self):
        return 1


class Lion:
    def __init__(self, rate):
        self.rate = rate

    def step(self):
        return 2


OPTIMIZERS = {kind.__name__.lower(): kind for kind in (Adam, Lion)}
name = sys.argv[1] if len(sys.argv) > 1 else "adam"
optimizer = OPTIMIZERS[name](0.1)
optimizer.step()
