"""Our target bytelm: its train.py under a tiny budget, and the checkpoint that it leaves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from bench.probe import tokens

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("config.py", "layers.py", "model.py", "optim.py", "data.py", "train.py")
_TOKENS = 1600  # three steps of the baseline, 640 each


def drive(probe: Probe) -> None:
    """Train three steps."""
    from safetensors.torch import load_file  # noqa: PLC0415

    np.save(probe.folder / "bytes.npy", tokens(5000, 256).astype("uint8"))
    os.environ.update(CODEGRAFT_DATA=str(probe.folder), CODEGRAFT_OUT=str(probe.folder), CODEGRAFT_BUDGET=str(_TOKENS))
    probe.script("train.py")
    probe.add(value.reshape(-1) for _, value in sorted(load_file(probe.folder / "model.safetensors").items()))
