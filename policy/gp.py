"""GP-EI: a Gaussian process over programs, and the single edit of a good program that promises the most improvement.

A program is the sum of its edits, each told by its kind, by where it is and by what it chooses, so that a trial teaches about other sites
of the kind and other choices at the site; two programs are as far apart as the edits in which they differ. Parents are the programs with
the best posterior means, not those that were measured luckily; the improvement is over the best of these means.

Source: Jones et al. 1998 (expected improvement); White et al. 2021 (BANANAS, arXiv:1910.11858) for mutating the best as the pool,
Eriksson et al. 2019 (TuRBO, arXiv:1910.01739) for staying local. Hyper-parameters: docs/benchmark.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from policy.content import encode_number
from policy.draw import open_stream
from policy.lineage import Lineage
from policy.protocol import Move
from policy.random import pick_by_prior
from policy.surrogate import Points, fit_surrogate, log_expected_improvement
from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from random import Random

    from numpy.typing import NDArray

    from mutator.edit import Edit
    from policy.protocol import Parent, Scene, Tried
    from policy.surrogate import Surrogate

    Floats = NDArray[np.float64]
    _Term = tuple[Hashable, float]

_LEAST_PRIOR = 1e-6


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may be chosen. The weights say how much of an edit's distance from nothing lies in each part."""

    n_startup: int = 8  # random edits of the unedited target before the process decides
    n_parents: int = 2
    kind: float = 0.15
    site: float = 0.2
    choice: float = 0.2
    unit: float = 2.0  # sd of the baseline that count as one: a loss beyond it is no worse


class GpPolicy:
    """Fits the process anew for each proposal: it is exact, and its state are the trials."""

    def __init__(self, seed: int, tuning: Tuning | None = None) -> None:
        self._seed, self._tuning = seed, tuning or Tuning()
        self._lineage, self._space = Lineage(), _Space(self._tuning)
        self._scripts: list[tuple[Edit, ...]] = [()]  # of all programs that were tried, the unedited one first
        self._values: list[float] = [0.0]  # of each: its lead in units

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different edits, each of one of the best programs."""
        stream = open_stream(self._seed, "gp", scene.number)
        if scene.number <= self._tuning.n_startup:
            return _random_moves(scene, n, stream)
        tried = self._space.points((), self._scripts)
        surrogate = fit_surrogate(tried, torch.tensor(self._values, dtype=torch.float64))
        parents, best = self._rank(scene, surrogate)
        pools = list(islice(filter(None, (self._pool(parent, stream) for parent in parents)), self._tuning.n_parents))
        pool = [each for part in pools for each in part]
        if not pool:
            return ()
        scripts = self._lineage.scripts
        after = [self._space.points(scripts[part[0].parent], [move.script for move in part]) for part in pools]
        belief = surrogate.predict(_join(after))
        promise = log_expected_improvement(belief.mean - best, belief.deviation)
        priors = (scene.priors.get(move.script[0].kind, 1.0) for move in pool)
        promise += torch.tensor([math.log(max(prior, _LEAST_PRIOR)) for prior in priors])
        return tuple(pool[i] for i in promise.argsort(descending=True, stable=True).tolist()[:n])

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Remember what the trials measured; what failed counts as a loss of one unit."""
        for trial in trials:
            if trial.parent not in self._lineage.scripts:
                continue
            floor = self._lineage.leads[trial.parent] - self._tuning.unit
            self._scripts.append((*self._lineage.scripts[trial.parent], *trial.script))
            self._space.absorb(trial.script)
            self._values.append((max(floor, trial.lead) if trial.ok else floor) / self._tuning.unit)
            self._lineage.add(trial)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Remember the trials; proposing leaves no trace."""
        self.feedback(trials)

    def _rank(self, scene: Scene, surrogate: Surrogate) -> tuple[list[Parent], float]:
        """Return the programs by their posterior means, the best first, and the best mean."""
        known = [parent for parent in scene.parents if parent.number in self._lineage.scripts]
        means = surrogate.predict(self._space.points((), [self._lineage.scripts[each.number] for each in known])).mean
        return [known[i] for i in means.argsort(descending=True, stable=True).tolist()], float(means.max())

    def _pool(self, parent: Parent, stream: Random) -> list[Move]:
        """Return the edits of a program that make a new one, in any order: of equal promises the first one is taken."""
        new = [Move(parent.number, (edit,)) for edit in parent.edits if self._lineage.is_new(parent.number, (edit,))]
        stream.shuffle(new)
        return new


class _Space:
    """Programs as points: a column for each kind, site and choice that was tried, and a last one for all that was not."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._places: dict[Hashable, int] = {}
        self._choices: dict[Hashable, int] = {}
        self._told: dict[Edit, tuple[list[_Term], list[_Term]]] = {}  # a cache: each edit is asked for at every trial

    def absorb(self, script: Iterable[Edit]) -> None:
        """Give what a tried program is made of columns of its own."""
        for edit in script:
            for columns, terms in zip((self._places, self._choices), self._tell(edit), strict=True):
                for key, _ in terms:
                    columns.setdefault(key, len(columns))

    def points(self, script: Sequence[Edit], following: Sequence[tuple[Edit, ...]]) -> Points:
        """Return one point for each of what may follow a script."""
        rows = tuple(np.zeros((1 + len(following), len(columns) + 1)) for columns in (self._places, self._choices))
        for edit in script:
            self._add(rows, 0, edit)
        for part in rows:
            part[1:] = part[0]
        for row, edits in enumerate(following, start=1):
            for edit in edits:
                self._add(rows, row, edit)
        places, choices = (torch.from_numpy(part[1:]) for part in rows)
        return Points(places, choices, torch.zeros(len(following), dtype=torch.float64))

    def _add(self, rows: Sequence[Floats], row: int, edit: Edit) -> None:
        for part, columns, terms in zip(rows, (self._places, self._choices), self._tell(edit), strict=True):
            unknown = 0.0
            for key, weight in terms:
                column = columns.get(key)
                if column is None:
                    unknown += weight * weight
                else:
                    part[row, column] += weight
            if unknown:
                part[row, -1] = math.hypot(part[row, -1], math.sqrt(unknown))

    def _tell(self, edit: Edit) -> tuple[list[_Term], list[_Term]]:
        """Return where an edit is, and what it chooses: itself, and where each number lies on the axis of its site."""
        if edit not in self._told:
            tuning = self._tuning
            numbers = [(name, float(value)) for name, value in edit.choice if not isinstance(value, str | bool)]
            sizes = [((edit.site, name), tuning.choice * float(encode_number(value)[1])) for name, value in numbers]
            places: list[_Term] = [(edit.kind, tuning.kind), ((edit.site,), tuning.site)]
            self._told[edit] = places, [(identify(edit), tuning.choice), *sizes]
        return self._told[edit]


def _join(points: Sequence[Points]) -> Points:
    return Points(
        torch.cat([each.places for each in points]),
        torch.cat([each.choices for each in points]),
        torch.cat([each.magnitudes for each in points]),
    )


def _random_moves(scene: Scene, n: int, stream: Random) -> tuple[Move, ...]:
    left = list(scene.parents[0].edits)
    picked: list[Edit] = []
    while left and len(picked) < n:
        picked.append(pick_by_prior(left, scene.priors, stream))
        left.remove(picked[-1])
    return tuple(Move(0, (edit,)) for edit in picked)
