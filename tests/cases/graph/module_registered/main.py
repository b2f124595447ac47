import torch
import torch.nn as nn


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.register_buffer("mask", torch.ones(width))
        self.register_parameter("shift", nn.Parameter(torch.zeros(width)))
        self.fc = nn.Linear(width, width)
        self.width = width

    def forward(self, x):
        return self.fc(x * self.mask + self.shift) * self.scale


gate = Gate(4)
