"""pytorch/examples, vae: main.py itself, on images that are made here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.vision import stand_in_torchvision

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("main.py",)


def drive(probe: Probe) -> None:
    """Train two epochs of two steps."""
    stand_in_torchvision()
    (probe.folder / "results").mkdir(exist_ok=True)
    probe.script("main.py", "--epochs=2", "--batch-size=16")
