from dataclasses import dataclass

import torch.nn as nn


@dataclass
class Config:
    width: int = 8


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, dim)


class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.width = config.width
        width = config.width
        self.block = Block(config.width)
        self.conv = nn.Conv1d(width, width, 3)
        self.norm = nn.LayerNorm(self.width)


Net(Config())
