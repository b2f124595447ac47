import torch


class Model:
    def copy(self):
        return self


def helper():
    return 1


def make_model():
    return Model()


def make_optimizer(parameters):
    return torch.optim.AdamW(parameters)


def make_function(quick):
    if quick:
        return helper
    return make_model


def make_lambda():
    return lambda: 1


def make_either(quick):
    return Model() if quick else torch.nn.Linear(1, 1)


def make_nothing():
    return 3


make_model().copy()
