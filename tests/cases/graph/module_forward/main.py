import torch
import torch.nn as nn
import torch.nn.functional as F


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        return self.proj(x)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attn = Attention(width)

    def forward(self, x):
        return F.relu(self.attn(x))


block = Block(4)
block(torch.zeros(1, 4))
block.forward(torch.zeros(1, 4))
