"""Frozen: the corpus and its split, the constants of the task, and what a training run is given.

The corpus needs no download: CPython ships its language reference (`pydoc_data.topics`) and the docstrings of its
standard library. Documents, not lines, are split, and a paragraph is kept only where it is seen first (in the parts that
are held out, then in training), so nothing that is held out can be learned by heart. It changes a little with the Python version.
`python prepare.py data` writes it and prints its figures.
"""

import ast
import hashlib
import itertools
import os
import re
import struct
import sys
import sysconfig
from pathlib import Path

import numpy as np

SEQ_LEN = 64  # bytes that the model sees at once
VOCAB = 256
HINTS = 320  # of the loss while a training runs; the baseline gives one every second step, 1 % of its time
HELD_OUT = {"heldout": 0.06, "second": 0.03, "final": 0.03}  # fractions of the characters; the rest is for training
MIN_DOCSTRING = 80  # characters; shorter ones say little
SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "pydoc_data", "_bundled"}


# --- what a training run is given: seed, data, a place for the checkpoint, and a budget


def trial_seed() -> int:
    return int(os.environ.get("CODEGRAFT_SEED", "0"))


def load_train() -> np.ndarray:
    """Return the training split, (N,) uint8."""
    return np.load(Path(os.environ.get("CODEGRAFT_DATA", "data/train")) / "bytes.npy")


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


class Budget:
    """Ask for progress before each step, say after it what it took; at 1.0 the budget is used up.

    The count is kept by the process that started this one: each question sends the work done since the last one as a
    little-endian double, the answer is the progress as another. Run by hand, without such a process, it counts here.

    A second double in a question is a hint: the loss of a step since the last one. It tells early whether a run is worth its
    budget, never what it measured, and it is computed here so that an edit of the loss does not change what it means.
    """

    def __init__(self, tokens: int = 384_000):
        self.line = int(os.environ.get("CODEGRAFT_BUDGET_FD", "-1"))
        self.amount = float(os.environ.get("CODEGRAFT_BUDGET", tokens))
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

    def spend(self, tokens: float, logits=None, targets=None) -> None:
        """Count work. logits (..., VOCAB) and targets (...), tensors, are what the hint is made from."""
        self.spent += tokens
        if self.line >= 0 and logits is not None and self.known >= self.hint_at:
            self.hint_at = self.known + 1 / HINTS
            self.hint = (cross_entropy(logits, targets),)


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
    """Collect CPython's reference topics and, for each module of the standard library, its docstrings."""
    from pydoc_data.topics import topics

    found = {f"topic/{name}": text for name, text in topics.items()}
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for path in stdlib.rglob("*.py"):
        module = path.relative_to(stdlib)
        if not SKIPPED.intersection(module.parts) and not module.parts[0].startswith(("config-", "_sysconfigdata")):
            found[module.as_posix()] = "\n\n".join(docstrings(path.read_bytes()))
    return found


def docstrings(source: bytes) -> list[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    return [text for node in nodes if (text := ast.get_docstring(node)) and len(text) > MIN_DOCSTRING]


def split_documents(found: dict[str, str]) -> dict[str, str]:
    """Deal whole documents, in the order of their names' digests, to the parts in turn; drop repeated paragraphs."""
    order = sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())
    total = sum(len(text) for text in found.values())
    ends = dict(zip(HELD_OUT, itertools.accumulate(HELD_OUT.values())))
    parts: dict[str, list[str]] = {part: [] for part in [*HELD_OUT, "train"]}
    seen: set[str] = set()
    dealt = 0
    for name in order:
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
