"""GP-EI: a Gaussian process over the effects of edits, and the single edit of a good program that promises the most improvement.

A trial teaches about other sites of its kind, other choices at its site, and edits of like content (policy.effects). Parents are the
programs with the best posterior means, not those that were measured luckily; the improvement is over the best of these means.

Source: Jones et al. 1998 (expected improvement); White et al. 2021 (BANANAS, arXiv:1910.11858) for mutating the best as the pool,
Eriksson et al. 2019 (TuRBO, arXiv:1910.01739) for staying local. Hyper-parameters: docs/benchmark.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from policy.draw import open_stream
from policy.insight import Insight, replay
from policy.kernel import Kernel
from policy.options import N_PARENTS, open_options, rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.protocol import Move, Scene, Tried


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may be chosen."""

    n_parents: int = N_PARENTS
    kernel: Kernel = field(default_factory=Kernel)


class GpPolicy:
    """Fits the process anew for each proposal: it is exact, and its state are the trials."""

    def __init__(self, seed: int, tuning: Tuning | None = None) -> None:
        self._seed, self._tuning = seed, tuning or Tuning()
        self._insight = Insight(self._tuning.kernel)

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different edits, each of one of the best programs; of equal promises any."""
        self._insight.see(scene)
        options = open_options(self._insight, scene, self._tuning.n_parents)
        if options is None:
            return ()
        order = rank(options, open_stream(self._seed, "gp", scene.number))
        moves = tuple(map(options.move, order[:n]))
        self._insight.propose(scene, moves)
        return moves

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn what the trials measured."""
        for trial in trials:
            self._insight.learn(trial)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Propose on the scenes and learn from the trials in the order in which it happened."""
        replay(scenes, trials, propose=self.propose, learn=self.feedback)
