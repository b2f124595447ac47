"""Muon for the matrices of the blocks, AdamW for the rest, and the schedule of their learning rates."""

import torch
import torch.nn as nn
from torch import Tensor

from config import TrainConfig

NS_STEPS = 5  # of Newton and Schulz; more bring the singular values no nearer to 1
NS_A, NS_B, NS_C = 3.4445, -4.775, 2.0315  # a quintic that lifts small singular values fast: Jordan et al. 2024


class Muon(torch.optim.Optimizer):
    """Momentum, brought to singular values near 1, so that no direction of a matrix is learned faster than another.

    The matrices of a group have one shape and are updated as one batch.
    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.
    """

    def __init__(self, params: list[dict], lr: float, momentum: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            matrices = group["params"]
            grads = torch.stack([torch.zeros_like(p) if p.grad is None else p.grad for p in matrices])  # (N, R, C)
            state = self.state[matrices[0]]
            if not state:
                state["mean"] = torch.zeros_like(grads)
            state["mean"].lerp_(grads, 1 - group["momentum"])
            ahead = torch.lerp(grads, state["mean"], group["momentum"])  # Nesterov
            size = max(1.0, grads.size(1) / grads.size(2)) ** 0.5  # a tall matrix has room for larger steps
            for matrix, update in zip(matrices, orthogonalize(ahead)):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.sub_(group["lr"] * size * update)


def orthogonalize(x: Tensor) -> Tensor:
    """Bring the singular values of each matrix to about 1. x: (N, R, C) -> (N, R, C), in bfloat16 on a GPU."""
    is_tall = x.size(1) > x.size(2)
    x = x.bfloat16() if x.is_cuda else x
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NS_STEPS):
        square = x @ x.mT  # (N, R, R)
        x = NS_A * x + (NS_B * square + NS_C * square @ square) @ x
    return x.mT if is_tall else x


def build_optimizers(model: nn.Module, cfg: TrainConfig) -> tuple[Muon, torch.optim.AdamW]:
    """Sort the parameters by what they are; weight decay pulls on the matrices of the blocks only."""
    sorted_params: dict[str, list[nn.Parameter]] = {"matrix": [], "embedding": [], "head": [], "scalar": []}
    for name, p in model.named_parameters():
        sorted_params[role(name, p)].append(p)
    shapes = {p.shape for p in sorted_params["matrix"]}
    stacks = [{"params": [p for p in sorted_params["matrix"] if p.shape == shape]} for shape in sorted(shapes)]
    groups = [
        {"params": sorted_params["embedding"], "lr": cfg.embedding_lr},
        {"params": sorted_params["head"], "lr": cfg.head_lr},
        {"params": sorted_params["scalar"], "lr": cfg.scalar_lr},
    ]
    muon = Muon(stacks, lr=cfg.matrix_lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    adamw = torch.optim.AdamW(groups, betas=(cfg.beta1, cfg.beta2), eps=cfg.eps, weight_decay=0.0)
    for group in [*muon.param_groups, *adamw.param_groups]:
        group["initial_lr"] = group["lr"]
    return muon, adamw


def role(name: str, p: nn.Parameter) -> str:
    """Say what a parameter is: scalar is whatever is no matrix."""
    if p.ndim != 2:
        return "scalar"
    if "emb" in name:
        return "embedding"
    return "head" if name.startswith("head") else "matrix"


def lr_scale(progress: float, cfg: TrainConfig) -> float:
    """What multiplies the learning rates: up, level, then down in a line. progress: 0 to 1, from the budget."""
    if progress < cfg.warmup:
        return progress / cfg.warmup
    if progress < 1 - cfg.warmdown:
        return 1.0
    left = (1 - progress) / cfg.warmdown  # 1 to 0
    return cfg.final_lr + (1 - cfg.final_lr) * left
