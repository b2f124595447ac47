import torch
import torch.nn as nn


class Policy(nn.Module):
    def forward(self, x):
        return x


class Value(nn.Module):
    def forward(self, x):
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({"policy": Policy(), "value": Value()})

    def forward(self, x):
        self.heads["policy"](x)
        for name, head in self.heads.items():
            head(x)
        return self.heads.value(x)


Net()(torch.zeros(1))
