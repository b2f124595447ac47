"""The optimizer and the schedule of its learning rate."""

import math

import torch
import torch.nn as nn

from config import TrainConfig


def build_optimizer(model: nn.Module, cfg: TrainConfig) -> torch.optim.Optimizer:
    betas = (cfg.beta1, cfg.beta2)
    return torch.optim.AdamW(
        model.parameters(), lr=cfg.lr, betas=betas, eps=cfg.eps, weight_decay=cfg.weight_decay, fused=True
    )


def lr_at(progress: float, cfg: TrainConfig) -> float:
    """A linear warm-up, then half a cosine down to a fraction. progress: 0 to 1, as the budget counts it."""
    if progress < cfg.warmup:
        return cfg.lr * progress / cfg.warmup
    t = (progress - cfg.warmup) / (1 - cfg.warmup)  # 0 to 1
    cosine = 0.5 * (1 + math.cos(math.pi * t))  # 1 to 0
    return cfg.lr * (cfg.final_lr + (1 - cfg.final_lr) * cosine)
