"""The reward: what the policy learns from a trial, as a sum of named terms.

metric: for a gain asinh(z), in standard errors: linear near 0 and logarithmic far out, so that one lucky jump does not drown the rest.
For a loss exp(z) - 1: a search hands back its best program, so a bad trial costs its slot, however bad it is, and little more than that.
equivalent: an edit that measures bit-equal to its incumbent changed nothing that counts; without a price, doing nothing would beat trying.
novelty: up to a quarter for a program that differs in structure from all that ran. It is a rank, because distances drift: one
inserted block is 5, another repository 1000. Only programs that ran are paid for it and count as known (minimal-criterion novelty,
Lehman and Stanley 2010): an unusual crash is worth nothing.
complexity: a small price of more paths and more code than the unedited target has.
failure: alone when the run has no metric. It lies below everything a measured run can get: neither a crash nor a stop ever pays.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

from graph.features import Features, displacement, features
from harness.values import Reward

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.complexity import Complexity
    from harness.values import Verdict

FAILURE = -2.0  # what a measured run at worst gets
EQUIVALENT = -1.0  # as bad as a loss can be
NOVELTY = 0.25  # of the most novel program: a quarter of one standard error of gain
COMPLEXITY = -0.05  # per path

_COMPLEXITY_LEAST = -1.0  # with the worst loss, FAILURE
_NODES_PER_PATH = 50  # about five lines of straight code weigh as much as a branch
_NEIGHBOURS = 10  # k of the k nearest; research in novelty search uses 10 to 15


class Archive:
    """The programs that ran, and how novel each was when it came. The first one is the unedited target."""

    def __init__(self) -> None:
        self._base = Features({})
        self._known: list[Mapping[str, float]] = []  # displacements from the base
        self._isolations: list[float] = []  # of the known but the first, sorted

    def add(self, files: Mapping[str, bytes]) -> None:
        """Make a program known: the unedited target first, then each that was measured, in the order of the trials.

        Raises: GraphError: a file does not parse.
        """
        found = features(files)
        if not self._known:
            self._base = found
        else:
            isolation = self._isolation(displacement(found, self._base))
            self._isolations.insert(bisect_left(self._isolations, isolation), isolation)
        self._known.append(displacement(found, self._base))

    def novelty(self, files: Mapping[str, bytes]) -> float:
        """Rank a program among the known ones by its mean distance to the 10 nearest: 0 for a known one, at most 1.

        Raises: GraphError: a file does not parse.
        """
        isolation = self._isolation(displacement(features(files), self._base))
        if isolation == 0.0:
            return 0.0
        return (1 + bisect_left(self._isolations, isolation)) / (1 + len(self._isolations))

    def _isolation(self, place: Mapping[str, float]) -> float:
        """Return the mean distance to the nearest known programs; 0 where one of them lies, whatever the others do."""
        distances = sorted(_l1(place, other) for other in self._known)[:_NEIGHBOURS]
        return math.fsum(distances) / len(distances) if distances and distances[0] else 0.0


def reward_of(verdict: Verdict, *, novelty: float, complexity: Complexity) -> Reward:
    """Reward a trial for its verdict, its novelty (a rank in [0, 1]), and its complexity beyond the unedited target's."""
    if math.isnan(verdict.gain):
        return Reward((("failure", FAILURE),))
    paths = (complexity.cyclomatic + complexity.cognitive) / 2 + complexity.nodes / _NODES_PER_PATH
    price = ("complexity", max(_COMPLEXITY_LEAST, COMPLEXITY * max(0.0, paths)))
    if verdict.gain == 0.0:
        return Reward((("equivalent", EQUIVALENT), price))
    metric = math.asinh(verdict.z) if verdict.z > 0.0 else math.expm1(verdict.z)
    return Reward((("metric", metric), ("novelty", NOVELTY * novelty), price))


def _l1(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    return math.fsum(abs(a.get(feature, 0.0) - b.get(feature, 0.0)) for feature in a.keys() | b.keys())
