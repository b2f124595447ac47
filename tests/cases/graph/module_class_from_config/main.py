import torch
import torch.nn as nn

from config import Config


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.mlp = config.mlp_class(config.width)
        self.norm = config.norm_class(config.width)

    def forward(self, x):
        return self.norm(self.mlp(x))


Block(Config(gated=True))(torch.zeros(1, 4))
Block(Config(gated=False))(torch.zeros(1, 4))
