from functools import partial

import torch
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, width, norm):
        super().__init__()
        self.norm = norm(width)

    def forward(self, x):
        return self.norm(x)


make = partial(Block, norm=partial(nn.LayerNorm, eps=1e-6))
block = make(4)
block(torch.zeros(1, 4))
