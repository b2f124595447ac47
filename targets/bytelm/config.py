"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    n_layer: int = 2
    n_head: int = 2
    head_dim: int = 32
    n_embd: int = 64
    mlp_ratio: int = 2
    bias: bool = True
    tied_head: bool = True  # the output layer reads with the weights that the input layer writes with


@dataclass
class TrainConfig:
    batch_size: int = 10
    lr: float = 8e-3
    final_lr: float = 0.1  # fraction of lr
    warmup: float = 0.2  # fraction of the budget
    weight_decay: float = 0.1
    beta1: float = 0.8
    beta2: float = 0.95
    eps: float = 1e-8
