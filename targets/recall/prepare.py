"""Frozen: the task, its data, and what a training run is given.

Associative recall with several queries: pairs of a key and its value in random order, then queries, keys alone; at each query
the model has to say the value that followed the key. What it has to say stands nowhere behind the pairs, so there is nothing to look
ahead to. Pairs differ in every sequence, so nothing can be learned by heart either. `python prepare.py data` writes the data.

Source: Arora et al. 2023 (arXiv:2312.04927), multi-query associative recall.
"""

import hashlib
import os
import struct
import sys
from pathlib import Path

import numpy as np

N_KEYS, N_VALUES = 32, 32
VOCAB = N_KEYS + N_VALUES  # keys first
N_PAIRS, N_QUERIES = 8, 8
SEQ_LEN = 2 * N_PAIRS + N_QUERIES
HINTS = 250  # of the loss while a training runs; the baseline gives one every second step
SIZES = {"train": 20_000, "heldout": 1024, "second": 1024, "final": 2048}  # sequences for training, search, a keep, a report


# --- what a training run is given: seed, data, a place for the checkpoint, and a budget


def trial_seed() -> int:
    return int(os.environ.get("CODEGRAFT_SEED", "0"))


def load_train() -> tuple[np.ndarray, np.ndarray]:
    """Return sequences (N, SEQ_LEN) and the values of their queries (N, N_QUERIES), int64."""
    return read_part(Path(os.environ.get("CODEGRAFT_DATA", "data/train")))


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


class Budget:
    """Ask for progress before each step, say after it what it took; at 1.0 the budget is used up.

    The count is kept by the process that started this one: each question sends the work done since the last one as a
    little-endian double, the answer is the progress as another. Run by hand, without such a process, it counts here.

    A second double in a question is a hint: the loss of a step since the last one. It tells early whether a run is worth its
    budget, never what it measured, and it is computed here so that an edit of the loss does not change what it means.
    """

    def __init__(self, values: int = 76_800):
        self.line = int(os.environ.get("CODEGRAFT_BUDGET_FD", "-1"))
        self.amount = float(os.environ.get("CODEGRAFT_BUDGET", values))
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

    def spend(self, logits, values) -> None:
        """Count the values (B, N_QUERIES) that a step was told. The hint is made from them and from logits (B, T, VOCAB)."""
        self.spent += values.numel()
        if self.line >= 0 and self.known >= self.hint_at:
            self.hint_at = self.known + 1 / HINTS
            self.hint = (cross_entropy(logits, values),)


def cross_entropy(logits, values) -> float:
    """Return the mean of -ln p(value) at the queries, apart from the training's own graph of gradients and random numbers."""
    rows = logits.detach().float()[:, -N_QUERIES:].flatten(0, 1)  # (B * Q, VOCAB)
    chosen = rows.gather(1, values.detach().reshape(-1, 1))[:, 0]  # (B * Q,)
    return (rows.logsumexp(1) - chosen).mean().item()


# --- the data


def prepare(data_dir: Path) -> None:
    """Write sequences.npy, (N, SEQ_LEN + N_QUERIES) uint8, for training, for the search, for a keep and for a report."""
    for number, (part, size) in enumerate(SIZES.items()):
        (data_dir / part).mkdir(parents=True, exist_ok=True)
        np.save(data_dir / part / "sequences.npy", draw(size, np.random.default_rng([7, number])))


def draw(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n sequences, each with the values of its queries behind it: (n, SEQ_LEN + N_QUERIES) uint8."""
    keys = rng.random((n, N_KEYS)).argsort(1)[:, :N_PAIRS]  # (n, P), no key twice
    values = N_KEYS + rng.integers(N_VALUES, size=(n, N_PAIRS))  # (n, P)
    asked = rng.random((n, N_PAIRS)).argsort(1)[:, :N_QUERIES]  # (n, Q)
    pairs = np.stack([keys, values], -1).reshape(n, 2 * N_PAIRS)  # key, value, key, value, ...
    queries, answers = (np.take_along_axis(of, asked, 1) for of in (keys, values))
    return np.concatenate([pairs, queries, answers], 1).astype(np.uint8)


def read_part(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the sequences of a part (N, SEQ_LEN) and the values of their queries (N, N_QUERIES), int64."""
    rows = np.load(folder / "sequences.npy").astype(np.int64)
    return rows[:, :SEQ_LEN], rows[:, SEQ_LEN:]


if __name__ == "__main__":
    data = Path(sys.argv[1])
    prepare(data)
    for file in sorted(data.rglob("*.npy")):
        content = np.load(file)
        print(f"{file}: {len(content):,} sequences, sha256 {hashlib.sha256(content).hexdigest()[:16]}")
