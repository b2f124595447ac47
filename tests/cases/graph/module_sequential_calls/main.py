import torch
import torch.nn as nn


class Swish(nn.Module):
    def forward(self, x):
        return x


class Block(nn.Module):
    def forward(self, x):
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [Block() for _ in range(2)]
        self.body = nn.Sequential(*layers, nn.Sequential(Swish()))

    def forward(self, x):
        return self.body(x)


Net()(torch.zeros(1, 2))
stack = nn.Sequential(Swish(), nn.Linear(2, 2))
stack(torch.zeros(1, 2))
stack[0](torch.zeros(1, 2))
