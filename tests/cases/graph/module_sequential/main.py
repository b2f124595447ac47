from collections import OrderedDict

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
        self.stem = nn.Sequential(nn.Linear(2, 2), Swish())
        layers = [Block() for _ in range(2)]
        layers.append(nn.Dropout(0.1))
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(OrderedDict([("act", Swish()), ("deep", nn.Sequential(Block()))]))

    def forward(self, x):
        x = self.stem(x)
        x = self.body(x)
        x = self.stem[1](x)
        for layer in self.head:
            x = layer(x)
        return self.head(x)


Net()(torch.zeros(1, 2))
