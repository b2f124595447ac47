"""pytorch/examples, regression: main.py itself, which updates its parameters by hand, stopped early."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("main.py",)


def drive(probe: Probe) -> None:
    """Train forty steps."""
    probe.most_steps = 2  # there is no optimizer to count: the losses are, twenty a step
    probe.script("main.py")
