"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    n_layer: int = 2  # hidden layers behind the first
    width: int = 64
    emb_dim: int = 12  # of each column of categories
    dropout: float = 0.0


@dataclass
class TrainConfig:
    batch_size: int = 96
    lr: float = 3e-2
    emb_lr: float = 3.0  # what multiplies lr for the embeddings
    final_lr: float = 0.006  # fraction of lr
    warmup: float = 0.16  # fraction of the budget
    weight_decay: float = 0.05
    beta1: float = 0.85
    beta2: float = 0.98
    eps: float = 1e-8
