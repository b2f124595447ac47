import torch
from torch import nn


class Norm(nn.Module):
    def forward(self, x):
        return self.scale(x)

    def scale(self, x):
        return x


class Shifted(Norm):
    def scale(self, x):
        return x + 1


class Called(nn.Module):
    def __call__(self, x):
        return x

    def forward(self, x):
        return -x


Shifted()(torch.zeros(1))
Called()(torch.zeros(1))
