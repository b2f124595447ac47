"""The moves that are open at a scene: single edits of the programs that are believed to be best, and what is believed of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from policy.effects import log_expected_improvement
from policy.protocol import Move
from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from policy.insight import Insight
    from policy.protocol import Parent, Scene
    from policy.traits import Floats, Traits

N_PARENTS = 2
_LEAST_PRIOR = 1e-6


@dataclass(frozen=True, slots=True)
class Options:
    """M moves of one edit each; all arrays (M,), gains in bent standard deviations of the unedited target."""

    moves: tuple[Move, ...]
    traits: Traits
    mean: Floats  # of what the edit gains
    deviation: Floats
    behind: Floats  # what its program is believed to be worth less than the best one
    log_prior: Floats  # of its kind

    def __len__(self) -> int:
        return len(self.moves)

    @property
    def log_improvement(self) -> Floats:
        """Log expected improvement over the best program."""
        return log_expected_improvement(self.mean - self.behind, self.deviation)


def open_options(insight: Insight, scene: Scene, n_parents: int = N_PARENTS) -> Options | None:
    """List the edits that make new programs of the best ones; None where there are none."""
    parents, gains = insight.rank(scene.parents)
    behind = (gains[:1] - gains).tolist()
    opened = ((parent, new_moves(insight, parent), gap) for parent, gap in zip(parents, behind, strict=True))
    parts = [_open(insight, *each, scene.priors) for each in islice(filter(itemgetter(1), opened), n_parents)]
    return _join(parts) if parts else None


def new_moves(insight: Insight, parent: Parent) -> list[Move]:
    """List the edits of a program that no trial has made of it, in whatever order."""
    explored = insight.lineage.explored(parent.number)
    return [Move(parent.number, (edit,)) for edit in parent.edits if identify(edit) not in explored]


def _open(
    insight: Insight, parent: Parent, moves: Sequence[Move], behind: float, priors: Mapping[str, float]
) -> Options:
    edits = [move.script[0] for move in moves]
    traits = insight.describe(parent, edits)
    belief = insight.effects.believe(traits)
    log_prior = np.array([math.log(max(priors.get(edit.kind, 1.0), _LEAST_PRIOR)) for edit in edits])
    return Options(tuple(moves), traits, belief.mean, belief.deviation, np.full(len(moves), behind), log_prior)


def _join(parts: Sequence[Options]) -> Options:
    whole, *others = parts
    for part in others:
        arrays = [
            np.concatenate([getattr(whole, name), getattr(part, name)])
            for name in ("mean", "deviation", "behind", "log_prior")
        ]
        whole = Options((*whole.moves, *part.moves), whole.traits.join(part.traits), *arrays)
    return whole
