"""Frozen: no data to speak of, and a budget of one step."""

import os
import struct
from pathlib import Path

import numpy as np


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


def ask_for_a_step() -> float:
    """Return the progress: below 1.0 there is a step to take."""
    line = int(os.environ["CODEGRAFT_BUDGET_FD"])
    os.write(line, struct.pack("<d", 1.0))
    return struct.unpack("<d", os.read(line, 8))[0]


def prepare(data_dir: Path) -> None:
    (data_dir / "train").mkdir()
    (data_dir / "heldout").mkdir()
    np.save(data_dir / "heldout" / "inputs.npy", np.zeros((4, 2)))
