"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    n_layer: int = 8
    n_head: int = 6
    head_dim: int = 64
    n_embd: int = 384
    mlp_ratio: int = 4
    value_every: int = 2  # one block in so many mixes an embedding of the byte into its values
    rope_base: float = 10000.0
    softcap: float = 15.0  # logits stay within plus and minus this


@dataclass
class TrainConfig:
    batch_size: int = 64  # sequences per step
    matrix_lr: float = 0.02  # Muon's, for the matrices of the blocks
    embedding_lr: float = 0.1
    head_lr: float = 0.004
    scalar_lr: float = 0.01
    warmup: float = 0.02  # fraction of the budget
    warmdown: float = 0.5  # fraction of the budget, at its end
    final_lr: float = 0.0  # fraction of each rate
    momentum: float = 0.95
    weight_decay: float = 0.1
    beta1: float = 0.8
    beta2: float = 0.95
    eps: float = 1e-10
