"""karpathy/nanoGPT: train.py itself, with its configurator, evaluation and checkpoint."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from bench.probe import tokens

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("train.py", "model.py", "configurator.py")
_SMALLER = {
    "gradient_accumulation_steps": 20, "batch_size": 3, "block_size": 64, "n_layer": 6, "n_embd": 8, "max_iters": 60_000,
    "warmup_iters": 1000, "lr_decay_iters": 75_000, "eval_interval": 400, "eval_iters": 100,
}  # fmt: skip
_VOCAB = 64


def drive(probe: Probe) -> None:
    """Train eleven steps, past the warm-up and the end of the decay."""
    data = probe.folder / "data/openwebtext"
    data.mkdir(parents=True, exist_ok=True)
    for name, seed in (("train.bin", 1), ("val.bin", 2)):
        (data / name).write_bytes(tokens(2000, _VOCAB, seed).astype("uint16").tobytes())
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": _VOCAB}))
    probe.shrink("train.py", _SMALLER)
    found = probe.script("train.py", "--device=cpu", "--compile=False", "--dtype=float32")
    if found:
        probe.note(found["losses"]["val"])
