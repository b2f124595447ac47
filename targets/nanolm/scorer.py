"""Frozen: the metric, from logits alone. The edited code sees the inputs, never the bytes to predict nor the loss."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from prepare import SEQ_LEN, VOCAB

WINDOWS = 512  # spread evenly over the bytes
BATCH = 16  # windows per call of predict


def score(predict: Callable[[np.ndarray], np.ndarray], heldout: Path) -> dict[str, float]:
    """Return the bits that the model needs for a byte that was held out: mean -log2 p(next byte), lower is better.

    Raises: ValueError: predict returns a wrong shape or numbers that are not finite.
    """
    corpus = np.load(heldout / "bytes.npy")  # (N,) uint8
    starts = np.linspace(0, len(corpus) - SEQ_LEN - 1, WINDOWS).astype(int)
    windows = corpus[starts[:, None] + np.arange(SEQ_LEN + 1)].astype(np.int64)  # (WINDOWS, T + 1)
    nats = 0.0
    for batch in np.split(windows, WINDOWS // BATCH):
        nats += cross_entropy(predict(np.ascontiguousarray(batch[:, :-1])), batch[:, 1:])
    return {"val_bpb": nats / (WINDOWS * SEQ_LEN * math.log(2))}


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    """Sum -log p(target) over a batch. logits: (B, T, VOCAB); targets: (B, T)."""
    if logits.shape != (*targets.shape, VOCAB):
        raise ValueError(f"predict returned shape {logits.shape}; return {(*targets.shape, VOCAB)}")
    if not np.isfinite(logits).all():
        raise ValueError("predict returned logits that are not finite; train with a smaller learning rate")
    shifted = logits - logits.max(axis=-1, keepdims=True)  # exp cannot overflow
    log_total = np.log(np.exp(shifted).sum(axis=-1, dtype=np.float64))  # (B, T)
    chosen = np.take_along_axis(shifted, targets[..., None], axis=-1)[..., 0]  # (B, T)
    return float((log_total - chosen).sum())
