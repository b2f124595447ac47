"""karpathy/minGPT: projects/adder/adder.py itself, with its trainer and its greedy evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("mingpt/model.py", "mingpt/trainer.py", "mingpt/utils.py", "projects/adder")


def drive(probe: Probe) -> None:
    """Train three steps on sums of one digit."""
    probe.script("projects/adder/adder.py", "--data.ndigit=1", "--trainer.max_iters=3", "--trainer.num_workers=0")
