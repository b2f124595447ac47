"""lucidrains/x-transformers: train_copy.py itself, an encoder and a decoder that learn to copy. Needs einops, einx, loguru."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = (
    "train_copy.py",
    "x_transformers/x_transformers.py",
    "x_transformers/attend.py",
    "x_transformers/autoregressive_wrapper.py",
)
_SMALLER = {"NUM_BATCHES": 30_000, "BATCH_SIZE": 8, "GENERATE_EVERY": 50, "ENC_SEQ_LEN": 4}


def drive(probe: Probe) -> None:
    """Train three steps of copying."""
    probe.shrink("train_copy.py", _SMALLER)
    probe.script("train_copy.py")
