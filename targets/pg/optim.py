"""The optimizer and the schedule of its learning rate."""

import torch
import torch.nn as nn

from config import TrainConfig


def build_optimizer(model: nn.Module, cfg: TrainConfig) -> torch.optim.Optimizer:
    """RMSprop, as in Mnih et al. 2016 (arXiv:1602.01783)."""
    return torch.optim.RMSprop(model.parameters(), lr=cfg.lr, alpha=cfg.alpha, eps=cfg.eps)


def lr_at(progress: float, cfg: TrainConfig) -> float:
    """A line down to a fraction. progress: 0 to 1, as the budget counts it."""
    return cfg.lr * (cfg.final_lr + (1 - cfg.final_lr) * (1 - progress))
