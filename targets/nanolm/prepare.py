"""Frozen: the corpus and its split, the constants of the task, what a training run is given, and how much of it a device takes.

The corpus needs no download: it is the Python sources of CPython's standard library, its tests included, and its language reference
(`pydoc_data.topics`), up to CORPUS characters. Documents, not lines, are split, and a paragraph is kept only where it is seen first (in the
parts that are held out, then in training), so nothing that is held out can be learned by heart. It changes with the Python version.
`python prepare.py data` writes it and prints its figures.
"""

import hashlib
import itertools
import os
import re
import struct
import sys
import sysconfig
import time
import tokenize
from pathlib import Path
from typing import NamedTuple

import numpy as np

SEQ_LEN = 1024  # bytes that the model sees at once
VOCAB = 256
HINTS = 320  # of the loss while a training runs
CORPUS = 20_000_000  # bytes of documents, repeated paragraphs included; the rest is not read
HELD_OUT = {"heldout": 0.04, "second": 0.02, "final": 0.02}  # fractions of the characters; the rest is for training
SKIPPED = {"site-packages", "dist-packages", "pydoc_data", "encodings", "__pycache__"}  # encodings are tables

ROWS_AT_ONCE = 32  # sequences of one forward and backward pass on a GPU
CPU_SHARE, CPU_ROWS_AT_ONCE, CPU_SEQ_LEN = 32, 1, 128  # a CPU takes a 32nd of each batch, to see that it runs


# --- what a training run is given: seed, data, a place for the checkpoint, and a budget


def trial_seed() -> int:
    return int(os.environ.get("CODEGRAFT_SEED", "0"))


def load_train() -> np.ndarray:
    """Return the training split, (N,) uint8."""
    return np.load(Path(os.environ.get("CODEGRAFT_DATA", "data/train")) / "bytes.npy")


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


class Fit(NamedTuple):
    """How much of a batch a device takes."""

    rows: int  # sequences of a step
    rows_at_once: int  # of them, in one forward and backward pass
    length: int  # bytes of a sequence


def fit(batch_size: int, device: str) -> Fit:
    """Say how much of a batch of sequences a device takes: a GPU all of it, a CPU only enough to see it run."""
    if device == "cuda":
        return Fit(batch_size, ROWS_AT_ONCE, SEQ_LEN)
    return Fit(max(1, batch_size // CPU_SHARE), CPU_ROWS_AT_ONCE, CPU_SEQ_LEN)


class Budget:
    """Ask for progress before each step, say after it what it took; at 1.0 the budget is used up.

    The count is kept by the process that started this one: each question sends the work done since the last one as a
    little-endian double, the answer is the progress as another. A budget of seconds runs from the first question on, and
    no question is put before the GPU has done what it was given. Run by hand, without such a process, seconds count here.

    A second double in a question is a hint: the loss of a step since the last one. It tells early whether a run is worth its
    budget, never what it measured, and it is computed here so that an edit of the loss does not change what it means.
    """

    def __init__(self, seconds: float = 300.0):
        self.line = int(os.environ.get("CODEGRAFT_BUDGET_FD", "-1"))
        self.amount = float(os.environ.get("CODEGRAFT_BUDGET", seconds))
        self.started_at: float | None = None  # by hand
        self.spent = 0.0  # since the last question
        self.known = self.hint_at = 0.0  # progress: the last answer, and when the next hint is due
        self.hint: tuple[float, ...] = ()  # at most one

    def progress(self) -> float:
        wait_for_gpu()
        if self.line < 0:
            self.started_at = self.started_at or time.monotonic()
            return (time.monotonic() - self.started_at) / self.amount
        os.write(self.line, struct.pack(f"<d{len(self.hint)}d", self.spent, *self.hint))
        self.spent, self.hint = 0.0, ()
        self.known = struct.unpack("<d", os.read(self.line, 8))[0]
        return self.known

    def spend(self, tokens: float, logits=None, targets=None) -> None:
        """Count work. logits (..., VOCAB) and targets (...), tensors, are what the hint is made from."""
        self.spent += tokens
        if self.line >= 0 and logits is not None and self.known >= self.hint_at:
            self.hint_at = self.known + 1 / HINTS
            self.hint = (cross_entropy(logits, targets),)


def wait_for_gpu() -> None:
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def cross_entropy(logits, targets) -> float:
    """Return the mean of -ln p(target), apart from the training's own graph of gradients and random numbers."""
    rows = logits.detach().float().flatten(0, -2)  # (N, VOCAB)
    chosen = rows.gather(1, targets.detach().reshape(-1, 1))[:, 0]  # (N,)
    return (rows.logsumexp(1) - chosen).mean().item()


# --- the corpus


def prepare(data_dir: Path) -> None:
    """Write bytes.npy, (N,) uint8, for training (train/), for the search (heldout/), a keep (second/) and a report (final/)."""
    for part, text in split_documents(documents()).items():
        file = data_dir / part / "bytes.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.frombuffer(text.encode(), dtype=np.uint8))


def documents() -> dict[str, str]:
    """Collect CPython's reference topics, then sources of its standard library in a fixed order until CORPUS is reached."""
    from pydoc_data.topics import topics

    found = {f"topic/{name}": text for name, text in topics.items()}
    n_left = CORPUS - sum(len(text.encode()) for text in found.values())
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for name in sorted(sources(stdlib), key=digest):
        n_left -= (stdlib / name).stat().st_size
        if n_left < 0:
            break
        found[name] = read_source(stdlib / name)
    return found


def sources(stdlib: Path) -> list[str]:
    """List the sources below the folder of the standard library, without descending into what is installed beside it."""
    found = []
    for folder, inner, files in os.walk(stdlib):
        inner[:] = [name for name in inner if name not in SKIPPED and not name.startswith("config-")]
        paths = [Path(folder, file).relative_to(stdlib) for file in files]
        found += [path.as_posix() for path in paths if path.suffix == ".py" and not path.name.startswith("_sysconfigdata")]
    return found


def read_source(path: Path) -> str:
    """Return the text of a source; nothing for one that is broken on purpose, as some tests are."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return ""


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def split_documents(found: dict[str, str]) -> dict[str, str]:
    """Deal whole documents, in the order of their names' digests, to the parts in turn; drop repeated paragraphs."""
    total = sum(len(text) for text in found.values())
    ends = dict(zip(HELD_OUT, itertools.accumulate(HELD_OUT.values())))
    parts: dict[str, list[str]] = {part: [] for part in [*HELD_OUT, "train"]}
    seen: set[str] = set()
    dealt = 0
    for name in sorted(found, key=digest):
        part = next((part for part, end in ends.items() if dealt < end * total), "train")
        dealt += len(found[name])
        for paragraph in paragraphs(found[name]):
            if (words := " ".join(paragraph.split())) not in seen:
                seen.add(words)
                parts[part].append(paragraph)
    return {part: "\n\n".join(kept) for part, kept in parts.items()}


def paragraphs(text: str) -> list[str]:
    return [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


if __name__ == "__main__":
    data = Path(sys.argv[1])
    prepare(data)
    for file in sorted(data.rglob("*.npy")):
        content = np.load(file)
        print(f"{file}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()[:16]}")
