"""Fourier features under a linear layer that is trained. Shapes: N examples, I inputs, K orders, H = 2 I K features."""

import numpy as np

from config import Config
from prepare import N_INPUTS


class Model:
    """f(x) = v . (cos(k w x_i), sin(k w x_i) for each input i and order k) + b."""

    def __init__(self, cfg: Config, rng: np.random.Generator):
        self.bias = cfg.bias
        self.frequencies = cfg.frequency * np.arange(1, cfg.order + 1)  # (K,)
        self.weights = {
            "v": cfg.init_scale * rng.normal(size=2 * N_INPUTS * cfg.order),
            "b": np.zeros(1),
        }

    def features(self, x: np.ndarray) -> np.ndarray:
        angles = (x[:, :, None] * self.frequencies).reshape(len(x), -1)  # (N, I K)
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)  # (N, H)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.features(x) @ self.weights["v"] + self.weights["b"]  # (N, I) -> (N,)

    def gradients(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Differentiate the mean of 1/2 (f(x) - y)^2. x: (N, I); y: (N,)."""
        h = self.features(x)  # (N, H)
        error = (h @ self.weights["v"] + self.weights["b"] - y) / len(y)  # (N,)
        gradients = {"v": h.T @ error}
        if self.bias:
            gradients["b"] = error.sum(keepdims=True)
        return gradients
