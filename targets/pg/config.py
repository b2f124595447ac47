"""The numbers that a person would turn first."""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    n_inner: int = 1  # hidden layers for each token
    n_outer: int = 1  # for the whole view
    width: int = 96
    gain: float = 1.0  # of the initial weights


@dataclass
class TrainConfig:
    n_worlds: int = 32
    horizon: int = 6  # steps in each world between updates
    gamma: float = 0.9
    lam: float = 0.8
    value_coef: float = 1.0
    entropy_coef: float = 0.03
    lr: float = 5e-3
    final_lr: float = 0.15  # fraction of lr
    alpha: float = 0.995
    eps: float = 1e-5
    clip: float = 0.5
