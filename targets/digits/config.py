"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    n_layer: int = 2
    width: int = 48  # channels
    kernel_size: int = 3  # of the convolutions in the blocks
    mlp_ratio: int = 2
    dropout: float = 0.0


@dataclass
class TrainConfig:
    batch_size: int = 64
    lr: float = 3e-2
    final_lr: float = 0.01  # fraction of lr
    warmup: float = 0.07  # fraction of the budget
    weight_decay: float = 0.014
    beta1: float = 0.8
    beta2: float = 0.86
    eps: float = 1e-8
    noise: float = 0.025  # sd of what is added to each pixel; images are 0 to 1
