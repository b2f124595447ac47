"""A multilayer perceptron over the features of a row."""

import torch.nn as nn
from torch import Tensor

from config import ModelConfig
from features import Features
from layers import Hidden


class Net(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.features = Features(cfg)
        self.first = Hidden(self.features.dim, cfg)
        self.layers = nn.ModuleList([Hidden(cfg.width, cfg) for _ in range(cfg.n_layer)])
        self.head = nn.Linear(cfg.width, 1)
        self.init_weights()

    def init_weights(self) -> None:
        """Keep the size of activations through layers with a ReLU (He et al. 2015, arXiv:1502.01852)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.5)

    def forward(self, table: Tensor) -> Tensor:
        """Return the load of each row, in megawatts. table: (B, 3 + N) -> (B,)."""
        x = self.features(table)  # (B, 3 E + N)
        x = self.first(x)  # (B, C)
        for layer in self.layers:
            x = layer(x)
        y = self.head(x)  # (B, 1)
        return y.squeeze(1)
