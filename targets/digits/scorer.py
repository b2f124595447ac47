"""Frozen: the metric, from logits alone. The edited code sees the images, never what they show nor the loss."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from prepare import N_CLASS, load_part

BATCH = 500  # images per call of predict


def score(predict: Callable[[np.ndarray], np.ndarray], heldout: Path) -> dict[str, float]:
    """Return the bits that the model needs for a label that was held out, mean -log2 p(label), and the share that it gets wrong.

    Raises: ValueError: predict returns a wrong shape or numbers that are not finite.
    """
    images, labels = load_part(heldout)  # (N, SIZE, SIZE), (N,)
    nats = wrong = 0.0
    for start in range(0, len(labels), BATCH):
        logits = predict(np.ascontiguousarray(images[start : start + BATCH]))
        right = labels[start : start + BATCH]
        nats += cross_entropy(logits, right)
        wrong += float((logits.argmax(axis=1) != right).sum())
    return {"val_bits": nats / (len(labels) * math.log(2)), "val_error": wrong / len(labels)}


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Sum -log p(label) over a batch. logits: (B, N_CLASS); labels: (B,)."""
    if logits.shape != (len(labels), N_CLASS):
        raise ValueError(f"predict returned shape {logits.shape}; return {(len(labels), N_CLASS)}")
    if not np.isfinite(logits).all():
        raise ValueError("predict returned logits that are not finite; train with a smaller learning rate")
    shifted = logits - logits.max(axis=1, keepdims=True)  # exp cannot overflow
    log_total = np.log(np.exp(shifted).sum(axis=1, dtype=np.float64))  # (B,)
    return float((log_total - shifted[np.arange(len(labels)), labels]).sum())
