"""The optimizer and the schedule of its learning rates."""

import math

import torch
import torch.nn as nn

from config import TrainConfig


def build_optimizer(model: nn.Module, cfg: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; weight decay pulls on matrices only, not on biases and norms."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": cfg.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=cfg.lr, betas=(cfg.beta1, cfg.beta2), eps=cfg.eps)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def lr_scale(progress: float, cfg: TrainConfig) -> float:
    """What multiplies the learning rates: a linear warm-up, then half a cosine. progress: 0 to 1, from the budget."""
    if progress < cfg.warmup:
        return progress / cfg.warmup
    t = (progress - cfg.warmup) / (1 - cfg.warmup)  # 0 to 1
    cosine = 0.5 * (1 + math.cos(math.pi * t))  # 1 to 0
    return cfg.final_lr + (1 - cfg.final_lr) * cosine
