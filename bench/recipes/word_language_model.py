"""pytorch/examples, word_language_model: main.py itself, once as a transformer under AdamW and once as an LSTM by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.probe import tokens

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("main.py", "model.py", "data.py")
_SMALLER = {"--emsize": 10, "--nhid": 10, "--batch_size": 5, "--bptt": 5, "--log-interval": 100}


def drive(probe: Probe) -> None:
    """Train an epoch of a few steps each."""
    corpus = probe.folder / "data/wikitext-2"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, seed, length in (("train", 1, 90), ("valid", 2, 120), ("test", 3, 120)):
        (corpus / f"{name}.txt").write_text(" ".join(f"w{i}" for i in tokens(length, 20, seed)) + "\n")
    probe.shrink("main.py", _SMALLER)
    probe.script("main.py", "--epochs=2", "--model=Transformer", "--use-optimizer", "--lr=0.01")
    probe.script("main.py", "--epochs=2")
