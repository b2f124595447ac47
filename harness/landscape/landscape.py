"""What a landscape is: a target's single edits, and the metric of every script of them, without a training.

A policy that is to be judged needs hundreds of campaigns of hundreds of trials; at seconds per training nobody runs them. A landscape
answers in microseconds instead: from a table of real runs (`lookup`), or from a generator. A script is a set of edits that are all planned
on the unedited target, named by their addresses (URIs without anchor): the order in which a campaign found them does not matter.

Not covered: edits that only become legal after another one, and edits of one site after another.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from targets.manifest import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit


class Landscape(Protocol):
    """Scripts and what they are worth. What has no metric (it crashes, or is refused) is NaN."""

    @property
    def name(self) -> str:
        """How a benchmark's table calls it."""
        ...

    @property
    def graph(self) -> CodeGraph:
        """The unedited target's graph: what policies look at, whatever the incumbent."""
        ...

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The single edits, all legal on the unedited target, in a fixed order."""
        ...

    @property
    def direction(self) -> Direction:
        """Which of two metrics is the better one."""
        ...

    @property
    def baseline(self) -> float:
        """True metric of the unedited target."""
        ...

    @property
    def sd(self) -> float:
        """Standard deviation of the unedited target's metric between seeds."""
        ...

    @property
    def best(self) -> float:
        """The best true metric that is known, found by a long search over the landscape itself."""
        ...

    def legal(self, script: Sequence[Edit]) -> tuple[Edit, ...]:
        """Return the edits that may follow: at no site that the script edits, in no conflict with it."""
        ...

    def value(self, script: Sequence[Edit]) -> float:
        """Return the true metric of a script, NaN when it has none."""
        ...

    def measure(self, script: Sequence[Edit], seed: int) -> float:
        """Return what a run with that seed measures, NaN when it has no metric; equal arguments give equal numbers.

        Programs that run with one seed share a part of its noise.
        """
        ...


def share_gained(landscape: Landscape, script: Sequence[Edit]) -> float:
    """Return how much of what can be gained a script gains: 0 the unedited target, 1 the best that is known; NaN without a metric.

    Nothing is gained where nothing can be: 0 where the best that is known is the unedited target.
    """
    gained, possible = landscape.value(script) - landscape.baseline, landscape.best - landscape.baseline
    if math.isnan(gained):
        return math.nan
    return gained / possible if landscape.direction.sign * possible > 0.0 else 0.0
