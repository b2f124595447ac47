"""Frozen: the metric, from logits alone. The edited code sees the sequences, never the values to say nor the loss."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from prepare import N_QUERIES, VOCAB, read_part

BATCH = 128  # sequences per call of predict


def score(predict: Callable[[np.ndarray], np.ndarray], heldout: Path) -> dict[str, float]:
    """Return the bits that the model needs for a queried value, mean -log2 p(value), and the share that it gets wrong.

    Raises: ValueError: predict returns a wrong shape or numbers that are not finite.
    """
    inputs, values = read_part(heldout)  # (N, T), (N, Q)
    logits = np.concatenate(
        [ask(predict, inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
    )  # (N, Q, VOCAB)
    logits = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)  # exp cannot overflow
    log_total = np.log(np.exp(logits).sum(axis=-1))  # (N, Q)
    chosen = np.take_along_axis(logits, values[..., None], axis=-1)[..., 0]  # (N, Q)
    return {
        "val_bits": float((log_total - chosen).mean() / math.log(2)),
        "val_error": float((logits.argmax(-1) != values).mean()),
    }


def ask(predict: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """Return the logits at the queries of a batch, (B, Q, VOCAB)."""
    logits = predict(np.ascontiguousarray(inputs))
    if logits.shape != (*inputs.shape, VOCAB):
        raise ValueError(f"predict returned shape {logits.shape}; return {(*inputs.shape, VOCAB)}")
    if not np.isfinite(logits).all():
        raise ValueError("predict returned logits that are not finite; train with a smaller learning rate")
    return logits[:, -N_QUERIES:]
