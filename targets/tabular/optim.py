"""The optimizer and the schedule of its learning rates."""

import torch
import torch.nn as nn

from config import TrainConfig


def build_optimizer(model: nn.Module, cfg: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; embeddings have a learning rate of their own and no weight decay."""
    embeddings = [p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()]
    known = {id(p) for p in embeddings}
    others = [p for p in model.parameters() if id(p) not in known]
    groups = [
        {"params": others, "lr": cfg.lr, "weight_decay": cfg.weight_decay},
        {"params": embeddings, "lr": cfg.emb_lr * cfg.lr, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(cfg.beta1, cfg.beta2), eps=cfg.eps, fused=True)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def lr_scale(progress: float, cfg: TrainConfig) -> float:
    """What multiplies the learning rates: a linear warm-up, then a line down to a fraction. progress: 0 to 1, from the budget."""
    if progress < cfg.warmup:
        return progress / cfg.warmup
    remaining = (1 - progress) / (1 - cfg.warmup)  # 1 to 0
    return cfg.final_lr + (1 - cfg.final_lr) * remaining
