import torch
import torch.nn as nn


class Block(nn.Module):
    def forward(self, x):
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("extra", Block())
        setattr(self, "late", Block())

    def forward(self, x):
        x = self.extra(x)
        x = getattr(self, "late")(x)
        for child in self.children():
            x = child(x)
        return x


Net()(torch.zeros(1))
