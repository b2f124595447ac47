from functools import partial


def work():
    return 1


def scale(value, factor, after):
    return after() * value * factor


double = partial(scale, factor=2)
double(3, after=work)
triple = partial(scale, 4)
ready = partial(triple, 3, work)
ready()


class Trainer:
    def __init__(self, step):
        self.step = partial(step, 1, 2)

    def run(self):
        return self.step(after=work)


Trainer(scale).run()
