"""The hidden layers. Shapes: B rows, C channels."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from config import ModelConfig


class Hidden(nn.Module):
    """A linear layer, a nonlinearity, and dropout."""

    def __init__(self, dim: int, cfg: ModelConfig):
        super().__init__()
        self.fc = nn.Linear(dim, cfg.width)
        self.drop = nn.Dropout(cfg.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)  # (B, C)
        x = F.relu(x)
        return self.drop(x)
