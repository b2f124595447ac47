"""The parts of a convolutional block. Shapes: B images, H rows, W columns, C channels; channels last, as linear layers want them."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from config import ModelConfig


class Stem(nn.Module):
    """Cut an image into overlapping patches, two pixels apart, and describe each by C numbers."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.conv = nn.Conv2d(1, cfg.width, kernel_size=4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1)  # (B, 1, SIZE, SIZE)
        x = self.conv(x)  # (B, C, H, W)
        x = F.relu(x)
        return x.permute(0, 2, 3, 1)  # (B, H, W, C)


class SpatialMix(nn.Module):
    """A depthwise convolution: every place reads from the places around it, each channel for itself."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        padding = cfg.kernel_size // 2
        self.conv = nn.Conv2d(cfg.width, cfg.width, cfg.kernel_size, padding=padding, groups=cfg.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)  # (B, C, H, W)
        x = self.conv(x)
        x = F.relu(x)
        return x.permute(0, 2, 3, 1)  # (B, H, W, C)


class MLP(nn.Module):
    """Two linear layers around a nonlinearity, for each place alone."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.fc = nn.Linear(cfg.width, cfg.mlp_ratio * cfg.width)
        self.proj = nn.Linear(cfg.mlp_ratio * cfg.width, cfg.width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)  # (B, H, W, ratio * C)
        h = F.relu(h)
        return self.proj(h)


class Block(nn.Module):
    """Look around, then think: a convolution and an MLP, each added to the residual stream."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.mix = SpatialMix(cfg)
        self.norm = nn.LayerNorm(cfg.width)
        self.mlp = MLP(cfg)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(x)  # (B, H, W, C)
        x = x + self.mlp(self.norm(x))  # (B, H, W, C)
        return x
