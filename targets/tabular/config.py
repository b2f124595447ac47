"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    n_layer: int = 1  # hidden layers behind the first
    width: int = 96
    emb_dim: int = 16  # of each column of categories
    dropout: float = 0.0


@dataclass
class TrainConfig:
    batch_size: int = 192
    lr: float = 3e-2
    emb_lr: float = 4.0  # what multiplies lr for the embeddings
    final_lr: float = 0.003  # fraction of lr
    warmup: float = 0.45  # fraction of the budget
    weight_decay: float = 0.14
    beta1: float = 0.85
    beta2: float = 0.92
    eps: float = 1e-8
