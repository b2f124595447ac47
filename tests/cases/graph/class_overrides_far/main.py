import abc


class Loss(abc.ABC):
    @abc.abstractmethod
    def measure(self):
        return None

    def weight(self):
        return 1


class Smooth(Loss):
    pass


class Label(Smooth):
    def measure(self):
        return 2

    def weight(self):
        return super().weight()


def total(loss: Loss):
    return loss.measure() * loss.weight()


total(Label())
