"""pytorch/examples, time_sequence_prediction: train.py itself (LBFGS, float64), on short waves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.probe import pretend

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("train.py",)


def drive(probe: Probe) -> None:
    """Train two steps of LBFGS on five waves of ten points."""
    pretend("matplotlib")
    waves = np.sin(np.arange(10)[None, :] + np.arange(8)[:, None])
    load = torch.load
    torch.load = lambda path, **named: waves if path == "traindata.pt" else load(path, **named)
    probe.script("train.py", "--steps=2")
