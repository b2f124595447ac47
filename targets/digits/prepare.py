"""Frozen: the images and their parts, the constants of the task, and what a training run is given.

Every image is drawn: the strokes of a digit with an unsteady hand, slanted, scaled and moved, with a pen of some width and
ink of some darkness, over a stray stroke and noise. numpy alone makes them, from fixed seeds.
`python prepare.py data` writes them and prints their figures.
"""

import hashlib
import os
import struct
import sys
from pathlib import Path

import numpy as np

SIZE = 12  # pixels of an image, both ways
N_CLASS = 10
HINTS = 100  # of the loss while a training runs; the baseline gives one every third step
SIZES = {"train": 4000, "heldout": 4000, "second": 2000, "final": 4000}  # images for training, search, a keep, a report

# Where the pen goes, in a square from (0, 0), top left, to (1, 1): x, y, x, y, ...
STROKES = (
    ((0.5, 0.05, 0.25, 0.2, 0.2, 0.5, 0.25, 0.8, 0.5, 0.95, 0.75, 0.8, 0.8, 0.5, 0.75, 0.2, 0.5, 0.05),),
    ((0.3, 0.3, 0.55, 0.05, 0.55, 0.95),),
    ((0.2, 0.3, 0.35, 0.08, 0.65, 0.08, 0.78, 0.3, 0.6, 0.55, 0.2, 0.95, 0.82, 0.95),),
    ((0.22, 0.1, 0.6, 0.05, 0.78, 0.25, 0.65, 0.42, 0.42, 0.48), (0.42, 0.48, 0.7, 0.55, 0.8, 0.75, 0.6, 0.95, 0.2, 0.9)),
    ((0.6, 0.05, 0.18, 0.65, 0.85, 0.65), (0.65, 0.4, 0.65, 0.95)),
    ((0.75, 0.05, 0.3, 0.05, 0.26, 0.45, 0.6, 0.42, 0.8, 0.65, 0.62, 0.93, 0.22, 0.93),),
    ((0.65, 0.05, 0.35, 0.3, 0.22, 0.65, 0.35, 0.93, 0.65, 0.93, 0.78, 0.7, 0.6, 0.52, 0.3, 0.6),),
    ((0.2, 0.07, 0.8, 0.07, 0.55, 0.45, 0.4, 0.95),),
    ((0.5, 0.48, 0.27, 0.28, 0.4, 0.06, 0.62, 0.06, 0.73, 0.28, 0.5, 0.48), (0.5, 0.48, 0.22, 0.7, 0.38, 0.95, 0.64, 0.95, 0.78, 0.7, 0.5, 0.48)),
    ((0.74, 0.3, 0.55, 0.48, 0.3, 0.42, 0.24, 0.2, 0.45, 0.05, 0.68, 0.1, 0.74, 0.3), (0.74, 0.3, 0.68, 0.65, 0.5, 0.95)),
)  # fmt: skip
WOBBLE = 0.03  # sd of how far a point of a stroke lies off
NOISE = 0.12  # sd of each pixel
PIXELS = (np.mgrid[:SIZE, :SIZE][::-1].reshape(2, -1).T + 0.5) / SIZE  # (P, 2): x and y of their centres


# --- what a training run is given: seed, data, a place for the checkpoint, and a budget


def trial_seed() -> int:
    return int(os.environ.get("CODEGRAFT_SEED", "0"))


def load_train() -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, SIZE, SIZE) float32, 0 to 1, and what they show (N,) int64."""
    return load_part(Path(os.environ.get("CODEGRAFT_DATA", "data/train")))


def load_part(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    images = np.load(folder / "images.npy")  # (N, SIZE, SIZE) uint8
    return images.astype(np.float32) / 255, np.load(folder / "labels.npy").astype(np.int64)


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


class Budget:
    """Ask for progress before each step, say after it what it took; at 1.0 the budget is used up.

    The count is kept by the process that started this one: each question sends the work done since the last one as a
    little-endian double, the answer is the progress as another. Run by hand, without such a process, it counts here.

    A second double in a question is a hint: the loss of a step since the last one. It tells early whether a run is worth its
    budget, never what it measured, and it is computed here so that an edit of the loss does not change what it means.
    """

    def __init__(self, steps: int = 200):
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

    def spend(self, logits=None, labels=None, *, steps: float = 1.0) -> None:
        """Count work. logits (B, N_CLASS) and labels (B,), tensors, are what the hint is made from."""
        self.spent += steps
        if self.line >= 0 and logits is not None and self.known >= self.hint_at:
            self.hint_at = self.known + 1 / HINTS
            self.hint = (cross_entropy(logits, labels),)


def cross_entropy(logits, labels) -> float:
    """Return the mean of -ln p(label), apart from the training's own graph of gradients and random numbers."""
    rows = logits.detach().float()  # (B, N_CLASS)
    chosen = rows.gather(1, labels.detach()[:, None])[:, 0]  # (B,)
    return (rows.logsumexp(1) - chosen).mean().item()


# --- the images


def prepare(data_dir: Path) -> None:
    """Write images.npy, (N, SIZE, SIZE) uint8, and labels.npy, (N,) uint8, for each part."""
    for seed, (part, size) in enumerate(SIZES.items()):
        rng = np.random.default_rng(seed)
        labels = rng.integers(N_CLASS, size=size)
        folder = data_dir / part
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "images.npy", np.stack([draw(label, rng) for label in labels]))
        np.save(folder / "labels.npy", labels.astype(np.uint8))


def draw(label: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one image, (SIZE, SIZE) uint8."""
    pen = rng.uniform(0.04, 0.09)  # half the width of a line
    bend = hand(rng)
    centre = 0.5 + rng.uniform(-0.12, 0.12, 2)
    strokes = [np.reshape(stroke, (-1, 2)) for stroke in STROKES[label]]  # (points, 2) each
    wobbly = [points + rng.normal(0, WOBBLE, points.shape) for points in strokes]
    ink = rng.uniform(0.5, 1.0) * cover([(points - 0.5) @ bend + centre for points in wobbly], pen)
    stray = rng.uniform(0.1, 0.6) * cover([rng.uniform(-0.1, 1.1, (1, 2)) + rng.normal(0, 0.3, (2, 2))], pen)
    image = np.maximum(ink, stray) + rng.normal(0, NOISE, (SIZE, SIZE))
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def hand(rng: np.random.Generator) -> np.ndarray:
    """Turn, slant and scale: (2, 2), for points on the left."""
    angle, slant = rng.normal(0, (0.2, 0.2))
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.diag(rng.uniform(0.6, 0.95, 2)) @ np.array([[1, 0], [slant, 1]]) @ turned


def cover(strokes: list[np.ndarray], pen: float) -> np.ndarray:
    """Return how much of each pixel lies under strokes, (SIZE, SIZE), 0 to 1."""
    starts = np.concatenate([points[:-1] for points in strokes])[:, None]  # (S, 1, 2)
    ways = np.concatenate([np.diff(points, axis=0) for points in strokes])[:, None]  # (S, 1, 2)
    offsets = PIXELS - starts  # (S, P, 2)
    along = np.clip((offsets * ways).sum(-1) / np.square(ways).sum(-1).clip(1e-9), 0, 1)  # (S, P)
    squares = np.square(offsets - along[..., None] * ways).sum(-1).min(axis=0)  # (P,), to the nearest line
    return np.exp(-squares / (2 * pen**2)).reshape(SIZE, SIZE)


if __name__ == "__main__":
    data = Path(sys.argv[1])
    prepare(data)
    for file in sorted(data.rglob("images.npy")):
        content = np.load(file)
        print(f"{file}: {len(content):,} images, sha256 {hashlib.sha256(content).hexdigest()[:16]}")
