"""GP-EI: a Gaussian process over the effects of edits, and the single edit of a good program that promises the most improvement.

A trial teaches about other sites of its kind, other choices at its site, and edits of like content (policy.effects). Parents are the
programs with the best posterior means, not those that were measured luckily; the improvement is over the best of these means.

Source: Jones et al. 1998 (expected improvement); White et al. 2021 (BANANAS, arXiv:1910.11858) for mutating the best as the pool,
Eriksson et al. 2019 (TuRBO, arXiv:1910.01739) for staying local. Hyper-parameters: docs/benchmark.md.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from policy.draw import open_stream
from policy.effects import Kernel, log_expected_improvement
from policy.insight import Insight
from policy.protocol import Move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.protocol import Parent, Scene, Tried

_LEAST_PRIOR = 1e-6


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may be chosen."""

    n_parents: int = 2
    kernel: Kernel = field(default_factory=Kernel)


class GpPolicy:
    """Fits the process anew for each proposal: it is exact, and its state are the trials."""

    def __init__(self, seed: int, tuning: Tuning | None = None) -> None:
        self._seed, self._tuning = seed, tuning or Tuning()
        self._insight = Insight(self._tuning.kernel)

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different edits, each of one of the best programs; of equal promises any."""
        self._insight.see(scene)
        parents, gains = self._insight.rank(scene.parents)
        opened = ((parent, gain, self._new_moves(parent)) for parent, gain in zip(parents, gains.tolist(), strict=True))
        pool, promises = list[Move](), list[float]()
        for parent, gain, moves in islice(filter(itemgetter(2), opened), self._tuning.n_parents):
            pool += moves
            promises += self._promises(scene, parent, moves, gain - gains[0])
        stream = open_stream(self._seed, "gp", scene.number)
        order = sorted(range(len(pool)), key=lambda i: (-promises[i], stream.random()))
        return tuple(pool[i] for i in order[:n])

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn what the trials measured."""
        for trial in trials:
            self._insight.learn(trial)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Look at the scenes and learn from the trials in the order in which it happened."""
        shown = deque(scenes)
        for n_known, trial in enumerate((*trials, None)):
            while shown and shown[0].n_known <= n_known:
                self._insight.see(shown.popleft())
            if trial is not None:
                self.feedback([trial])

    def _new_moves(self, parent: Parent) -> list[Move]:
        lineage = self._insight.lineage
        return [Move(parent.number, (edit,)) for edit in parent.edits if lineage.is_new(parent.number, (edit,))]

    def _promises(self, scene: Scene, parent: Parent, moves: Sequence[Move], behind: float) -> list[float]:
        """Return log expected improvements, plus the log priors of the kinds."""
        edits = [move.script[0] for move in moves]
        belief = self._insight.effects.believe(self._insight.describe(parent, edits))
        priors = [math.log(max(scene.priors.get(edit.kind, 1.0), _LEAST_PRIOR)) for edit in edits]
        return list(log_expected_improvement(belief.mean + behind, belief.deviation) + np.array(priors))
