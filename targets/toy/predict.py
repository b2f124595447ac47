"""Frozen: a checkpoint becomes a function from inputs to outputs, with the model as the sources around it define it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from config import Config
from model import Model


def load(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return predict: inputs (N, I) float64 -> outputs (N,) float64."""
    model = Model(Config(), np.random.default_rng(0))
    model.weights = load_file(checkpoint)
    return model.predict
