"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class Config:
    order: int = 3  # of the Fourier features
    frequency: float = 1.0  # of the first order
    init_scale: float = 0.05
    batch_size: int = 32
    lr: float = 0.03
    warmup: float = 0.1  # fraction of the budget
    momentum: float = 0.8
    weight_decay: float = 1e-3
    nesterov: bool = False
    bias: bool = True
