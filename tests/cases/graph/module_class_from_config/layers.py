import torch.nn as nn


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()

    def forward(self, x):
        return x


class GatedMLP(nn.Module):
    def __init__(self, width):
        super().__init__()

    def forward(self, x):
        return x
