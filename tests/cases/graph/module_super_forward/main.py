import torch
import torch.nn as nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = self.make_inner()

    def make_inner(self):
        return nn.Identity()

    def forward(self, x):
        return self.inner(x)


class Scaled(Base):
    def make_inner(self):
        return Gain()

    def forward(self, x):
        return super().forward(x) * 2


class Gain(nn.Module):
    def forward(self, x):
        return x


Scaled()(torch.zeros(1))
