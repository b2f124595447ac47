"""Columns become vectors: categories are embedded, numbers standardised. Shapes: B rows, N numbers, E per embedding."""

import torch
import torch.nn as nn
from torch import Tensor

from config import ModelConfig
from prepare import CATEGORIES, N_NUMBERS


class Features(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.town = nn.Embedding(CATEGORIES["town"], cfg.emb_dim)
        self.hour = nn.Embedding(CATEGORIES["hour"], cfg.emb_dim)
        self.weekday = nn.Embedding(CATEGORIES["weekday"], cfg.emb_dim)
        self.register_buffer("mean", torch.zeros(N_NUMBERS))
        self.register_buffer("std", torch.ones(N_NUMBERS))
        self.dim = 3 * cfg.emb_dim + N_NUMBERS

    def fit(self, table: Tensor) -> None:
        """Take the mean and spread of each number from the training table, (rows, 3 + N)."""
        numbers = table[:, 3:]
        self.mean.copy_(numbers.mean(dim=0))
        self.std.copy_(numbers.std(dim=0))

    def forward(self, table: Tensor) -> Tensor:
        """Return a vector for each row. table: (B, 3 + N) -> (B, 3 E + N)."""
        town, hour, weekday = table[:, :3].long().unbind(dim=1)  # (B,) each
        numbers = (table[:, 3:] - self.mean) / self.std  # (B, N)
        return torch.cat([self.town(town), self.hour(hour), self.weekday(weekday), numbers], dim=1)
