"""Our target toy: its train.py, in numpy, under a tiny budget; its weights are the fingerprint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("config.py", "model.py", "optim.py", "train.py")


def drive(probe: Probe) -> None:
    """Train three steps."""
    from safetensors.numpy import load_file  # noqa: PLC0415

    table = np.random.default_rng(0).normal(size=(256, 4))
    np.save(probe.folder / "table.npy", table)
    os.environ.update(CODEGRAFT_DATA=str(probe.folder), CODEGRAFT_OUT=str(probe.folder), CODEGRAFT_BUDGET="3")
    probe.script("train.py")
    for value in load_file(probe.folder / "model.safetensors").values():
        probe.note(torch.from_numpy(value).sum())
        probe.add([torch.from_numpy(value).reshape(-1)])
