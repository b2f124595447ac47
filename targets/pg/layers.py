"""The layers of the agent. Shapes: B views, T tokens, C numbers for each."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from config import ModelConfig


class Hidden(nn.Module):
    """A linear layer and its nonlinearity."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.fc = nn.Linear(cfg.width, cfg.width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)  # (..., C)
        x = F.gelu(x)
        return x
