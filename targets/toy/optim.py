"""Gradient descent with momentum, and the schedule of its rate."""

import numpy as np

from config import Config


class Momentum:
    """v <- momentum v + g, w <- w - lr v; with Nesterov's look-ahead w <- w - lr (g + momentum v)."""

    def __init__(self, weights: dict[str, np.ndarray], cfg: Config):
        self.weights = weights
        self.cfg = cfg
        self.velocity = {name: np.zeros_like(weight) for name, weight in weights.items()}

    def step(self, gradients: dict[str, np.ndarray], lr: float) -> None:
        for name, gradient in gradients.items():
            gradient = gradient + self.cfg.weight_decay * self.weights[name]
            velocity = self.cfg.momentum * self.velocity[name] + gradient
            update = gradient + self.cfg.momentum * velocity if self.cfg.nesterov else velocity
            self.weights[name] -= lr * update
            self.velocity[name] = velocity


def lr_at(progress: float, cfg: Config) -> float:
    """A linear warm-up, then a linear decay to zero. progress: 0 to 1, as the budget counts it."""
    if progress < cfg.warmup:
        return cfg.lr * progress / cfg.warmup
    return cfg.lr * (1.0 - progress) / (1.0 - cfg.warmup)
