"""A convolutional classifier: a stem, residual blocks, and a linear layer on the mean over all places."""

import torch.nn as nn
from torch import Tensor

from config import ModelConfig
from layers import Block, Stem
from prepare import N_CLASS


class Net(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.stem = Stem(cfg)
        self.blocks = nn.ModuleList([Block(cfg) for _ in range(cfg.n_layer)])
        self.drop = nn.Dropout(cfg.dropout)
        self.head = nn.Linear(cfg.width, N_CLASS)
        self.init_weights()

    def init_weights(self) -> None:
        """Keep the size of activations through layers with a ReLU (He et al. 2015, arXiv:1502.01852)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the digits. images: (B, SIZE, SIZE) -> (B, N_CLASS)."""
        x = self.stem(images)  # (B, H, W, C)
        for block in self.blocks:
            x = block(x)
        x = x.mean(dim=(1, 2))  # (B, C)
        x = self.drop(x)
        return self.head(x)
