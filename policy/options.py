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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from mutator.edit import Edit
    from policy.insight import Insight
    from policy.protocol import Parent, Scene
    from policy.traits import Floats

N_PARENTS = 2
MARGIN = 0.85  # bent sd: an edit that promises no more over the best program is not worth a trial, since no verdict would keep it
MAX_OPTIONS = 256  # attention is quadratic in the sites, of which there are at most as many
_LEAST_PRIOR = 1e-6
_ARRAYS = ("mean", "deviation", "behind", "log_prior", "log_chance")


@dataclass(frozen=True, slots=True)
class Options:
    """M moves of one edit each; all arrays (M,), gains in bent standard deviations of the unedited target."""

    edits: tuple[Edit, ...]
    parents: tuple[int, ...]  # of each edit
    mean: Floats  # of what the edit gains
    deviation: Floats
    behind: Floats  # what its program is believed to be worth less than the best one
    log_prior: Floats  # of its kind
    log_chance: Floats  # that its program costs no more than one that is kept may

    def __len__(self) -> int:
        return len(self.edits)

    def move(self, row: int) -> Move:
        """Return an option as what a policy proposes."""
        return Move(self.parents[row], (self.edits[row],))

    @property
    def moves(self) -> tuple[Move, ...]:
        """All of them."""
        return tuple(map(self.move, range(len(self))))

    @property
    def log_improvement(self) -> Floats:
        """Log expected improvement by more than MARGIN over the best program, times the chance that the program may be kept at its cost."""
        return log_expected_improvement(self.mean - self.behind - MARGIN, self.deviation) + self.log_chance

    def __getitem__(self, rows: Sequence[int]) -> Options:
        arrays = (getattr(self, name)[list(rows)] for name in _ARRAYS)
        return Options(tuple(self.edits[row] for row in rows), tuple(self.parents[row] for row in rows), *arrays)


def open_options(insight: Insight, scene: Scene, n_parents: int = N_PARENTS) -> Options | None:
    """List the edits that make new programs of the best ones; None where there are none."""
    parents, gains = insight.rank(scene.parents)
    behind = (gains[:1] - gains).tolist()
    opened = ((parent, insight.new_edits(parent), gap) for parent, gap in zip(parents, behind, strict=True))
    parts = [_open(insight, *each, scene.priors) for each in islice(filter(itemgetter(1), opened), n_parents)]
    return _join(parts) if parts else None


def rank(options: Options, stream: Random) -> list[int]:
    """Return the rows of options, what promises most first; of equal promises any."""
    any_order = np.random.default_rng(stream.getrandbits(64)).random(len(options))
    found: list[int] = np.lexsort((any_order, -(options.log_improvement + options.log_prior))).tolist()
    return found


def limit(options: Options, stream: Random, n: int = MAX_OPTIONS) -> Options:
    """Take n options at most: the half that promises most, and of the others a sample, so that each enters some day."""
    if len(options) <= n:
        return options
    ordered = rank(options, stream)
    best, others = ordered[: n // 2], ordered[n // 2 :]
    return options[sorted([*best, *stream.sample(others, n - len(best))])]


def _open(
    insight: Insight, parent: Parent, edits: Sequence[Edit], behind: float, priors: Mapping[str, float]
) -> Options:
    mean, deviation = insight.believe(parent, edits)
    logs = {kind: math.log(max(priors.get(kind, 1.0), _LEAST_PRIOR)) for kind in {edit.kind for edit in edits}}
    log_prior = np.array([logs[edit.kind] for edit in edits])
    arrays = mean, deviation, np.full(len(edits), behind), log_prior, insight.log_chances(parent, edits)
    return Options(tuple(edits), (parent.number,) * len(edits), *arrays)


def _join(parts: Sequence[Options]) -> Options:
    whole, *others = parts
    for part in others:
        arrays = [np.concatenate([getattr(whole, name), getattr(part, name)]) for name in _ARRAYS]
        whole = Options(whole.edits + part.edits, whole.parents + part.parents, *arrays)
    return whole
