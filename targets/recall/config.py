"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    n_layer: int = 2
    n_head: int = 2
    n_embd: int = 48
    mlp_ratio: int = 2
    bias: bool = True
    tied_head: bool = False


@dataclass
class TrainConfig:
    batch_size: int = 32
    lr: float = 1e-2
    final_lr: float = 0.1  # fraction of lr
    warmup: float = 0.3  # fraction of the budget
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip: float = 1.0
