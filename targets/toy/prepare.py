"""Frozen: the function to fit, its split, and what a training run is given.

A wave along one input and a kink along another, under noise; the third input is there to be ignored. No model can get
below the variance of the noise. `python prepare.py data` writes it.
"""

import os
import struct
import sys
from pathlib import Path

import numpy as np

N_INPUTS = 3
HINTS = 20  # of the loss while a training runs
SIZES = {"train": 1024, "heldout": 512, "second": 512, "final": 512}  # examples for training, search, a keep, a report
NOISE = 0.2  # sd of the outputs around the function


# --- what a training run is given: seed, data, a place for the checkpoint, and a budget


def trial_seed() -> int:
    return int(os.environ.get("CODEGRAFT_SEED", "0"))


def load_train() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (N, I) and outputs (N,), float64."""
    table = np.load(Path(os.environ.get("CODEGRAFT_DATA", "data/train")) / "table.npy")
    return table[:, :-1], table[:, -1]


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


class Budget:
    """Ask for progress before each step, say after it what it took; at 1.0 the budget is used up.

    The count is kept by the process that started this one: each question sends the work done since the last one as a
    little-endian double, the answer is the progress as another. Run by hand, without such a process, it counts here.

    A second double in a question is a hint: the loss of a step since the last one. It tells early whether a run is worth its
    budget, never what it measured.
    """

    def __init__(self, steps: int = 60):
        self.line = int(os.environ.get("CODEGRAFT_BUDGET_FD", "-1"))
        self.amount = float(os.environ.get("CODEGRAFT_BUDGET", steps))
        self.spent = 0.0  # since the last question; by hand, in all
        self.known = self.hint_at = 0.0  # progress: the last answer, and when the next hint is due
        self.hint: tuple[float, ...] = ()  # at most one

    def progress(self) -> float:
        if self.line < 0:
            return self.spent / self.amount
        os.write(self.line, struct.pack(f"<d{len(self.hint)}d", self.spent, *self.hint))
        self.spent, self.hint = 0.0, ()
        self.known = struct.unpack("<d", os.read(self.line, 8))[0]
        return self.known

    def spend(self, predict=None, x=None, y=None, *, steps: float = 1.0) -> None:
        """Count work. predict, x (N, I) and y (N,) are what the hint is made from: a mean squared error."""
        self.spent += steps
        if self.line >= 0 and predict is not None and self.known >= self.hint_at:
            self.hint_at = self.known + 1 / HINTS
            self.hint = (float(np.square(predict(x) - y).mean()),)


# --- the data


def prepare(data_dir: Path) -> None:
    """Write table.npy for each part, (N, I + 1) float64 with the outputs in the last column."""
    rng = np.random.default_rng(0)
    for part, size in SIZES.items():
        inputs = rng.uniform(-1.0, 1.0, (size, N_INPUTS))
        outputs = function(inputs) + NOISE * rng.normal(size=size)
        file = data_dir / part / "table.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.column_stack([inputs, outputs]))


def function(x: np.ndarray) -> np.ndarray:
    return np.sin(3.0 * x[:, 0]) + np.abs(x[:, 1])  # (N, I) -> (N,)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
