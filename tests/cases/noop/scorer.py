"""Frozen: every program is as good as any other."""

from collections.abc import Callable
from pathlib import Path

import numpy as np


def score(predict: Callable[[np.ndarray], np.ndarray], heldout: Path) -> dict[str, float]:
    return {"val_loss": 1.0 + float(predict(np.load(heldout / "inputs.npy")).mean())}
