"""A landscape that was measured: recorded scripts are worth what was recorded, others what the surrogate expects, roughened.

- A recorded script is worth its mean over seeds, drawn towards the surrogate by the noise in it. One without a metric has none.
- Any other is worth what the surrogate expects, and a residual as large as the surrogate's error on held-out scripts that are expected
  to gain about as much. It is drawn once for each pair of edits, so that scripts that share pairs share it: the landscape is as rough as
  the surrogate is wrong, and no rougher. Above the best that was recorded it may rise by one such error at most: what nobody measured is
  no discovery.
- It has no metric where one of its edits has none, or a pair (pairs that were not tried are drawn by their kinds), or where its edits add
  up to more CPU time than a run may take.
- There is no program of two edits at one site, or that touch the same bytes; neither is among the edits that may follow the other.
- What is ruined is ruined: no value is lower than RUINED, whatever a diverged run measured.
- Nothing is beyond what the target's manifest calls plausible: no bits below none.
- A run adds noise: a part for its seed that all programs share, a part of its own. Either is no larger than the way to that bound.

All draws follow from the table, so two processes see one landscape.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from harness.landscape.kernel import effects_of
from harness.landscape.model import Model, read_costs, read_rows
from harness.landscape.store import find_landscape, read_landscape
from harness.landscape.surrogate import RUINED, likeness
from harness.landscape.table import Table, provenance_of
from harness.sources import open_sources
from harness.values import TrialError
from mutator.edit import Edit, parse_edit
from mutator.shipped import default_grammar
from policy.draw import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from graph.code_graph import CodeGraph
    from mutator.code import Code

    Array = NDArray[np.float64]
    Numbers = tuple[int, ...]  # of the edits of a script, sorted
    Index = NDArray[np.intp]

_RESTARTS = 24  # of the search for the best script
_LONGEST = 8  # edits; what is much longer was never measured
_PROMISING = 40  # edits that a search tries after a script


class TableLandscape:
    """A table with its model, ready to be asked; see harness.landscape.landscape."""

    def __init__(self, table: Table, model: Model, code: Code) -> None:
        """Stand on a table and its target.

        Raises: TrialError: the graph lacks a site of the table.
        """
        reading, provenance = read_rows(table), table.provenance
        self.name, self.graph, self.direction = provenance.target, code.graph, provenance.direction
        self.baseline, self.sd = model.noise.baseline, model.noise.sd
        self.edits = tuple(_anchored(address, code.graph) for address in reading.addresses)
        self._noise, self._surrogate, self._sign = model.noise, model.surrogate, provenance.sign
        self._numbers = {address: number for number, address in enumerate(reading.addresses)}
        observed = reading.observed(model.noise, sign=self._sign)
        given = np.array([model.given.get(script, 0.0) for script in reading.metrics if script])
        self._effects, self._pairs = effects_of(
            likeness(observed, model.surrogate.link), np.array(model.surrogate.weights), observed.scripts, given
        )
        self._seed = int.from_bytes(blake2b(f"{provenance.sources} {provenance.seed}".encode(), digest_size=8).digest())
        draws = np.random.default_rng(self._seed)
        self._rough = _symmetric(draws.standard_normal((len(self.edits), len(self.edits))))
        crashes = reading.crashes
        self._dead = crashes.alone
        self._apart = _apart(code, self.edits)
        self._broken = (_symmetric(draws.random(crashes.chances.shape)) < crashes.chances) | self._apart
        np.fill_diagonal(self._broken, val=False)
        doublings = read_costs(table)
        self._doublings = np.array([doublings.get((address,), 0.0) for address in reading.addresses])
        self._limit = reading.limit(doublings)
        self._own = {self._key(s): weight for s, weight in model.given.items() if len(s) > 1}
        self._recorded = {self._key(script): works for script, works in reading.works.items()}
        self._gains: dict[Numbers, float] = {(): 0.0}
        self._legal: dict[Numbers, tuple[Edit, ...]] = {}
        self._commons: dict[int, float] = {}
        self._ceiling = max((self._gain(key) for key, works in self._recorded.items() if works), default=0.0)
        self._gains = {(): 0.0}  # those of scripts that were not recorded depend on the ceiling

    @cached_property
    def best(self) -> float:
        """The best true metric that greedy searches from many starts find, or that was recorded."""
        works = [key for key, ok in self._recorded.items() if ok]
        starts = sorted(works, key=lambda key: (-self._gain(key), key))[:_RESTARTS]
        return self._metric(max(self._gain(self._climb(start)) for start in [(), *starts]))

    def legal(self, script: Sequence[Edit]) -> tuple[Edit, ...]:
        """Return the edits that may follow: at no site of the script, in no conflict with it."""
        key = self._key(edit.address for edit in script)
        if key not in self._legal:
            self._legal[key] = tuple(self.edits[number] for number in self._following(key))
        return self._legal[key]

    def value(self, script: Sequence[Edit]) -> float:
        """Return the true metric of a script, NaN when it has none."""
        return self._metric(self._gain(self._key(edit.address for edit in script)))

    def measure(self, script: Sequence[Edit], seed: int) -> float:
        """Return what a run with that seed measures, NaN when it has no metric."""
        key = self._key(edit.address for edit in script)
        gain = self._gain(key)
        if math.isnan(gain):
            return math.nan
        if seed not in self._commons:
            self._commons[seed] = open_stream(self._seed, "common", seed).gauss(0.0, math.sqrt(self._noise.shared))
        room = self._noise.most - gain
        own = open_stream(self._seed, f"own {key}", seed).gauss(0.0, self._noise.own_sd(gain) / self.sd)
        return self._metric(min(gain + self._commons[seed] * min(1.0, room) + own, self._noise.most))

    def _key(self, addresses: Iterable[str]) -> Numbers:
        try:
            return tuple(sorted({self._numbers[address] for address in addresses}))
        except KeyError as error:
            raise TrialError(
                f"{self.name}: {error.args[0]} is no edit of the landscape; take one of its edits"
            ) from error

    def _metric(self, gain: float) -> float:
        return self.baseline + self._sign * self.sd * gain

    def _following(self, key: Numbers) -> Index:
        return np.flatnonzero(~self._apart[list(key)].any(0))

    def _gain(self, key: Numbers) -> float:
        """Return the true gain in sd, NaN when there is none."""
        if key not in self._gains:
            self._gains[key] = self._look_up(key)
        return self._gains[key]

    def _look_up(self, key: Numbers) -> float:
        works = self._recorded.get(key)
        if works is False or (works is None and self._fails(list(key))):
            return math.nan
        expected = float(self._effects[list(key)].sum() + self._pairs[np.ix_(key, key)].sum() / 2)
        more = self._surrogate.own * self._own.get(key, 0.0) if works else self._residual(key, expected)
        gain = min(max(float(self._surrogate.link.unbend(np.array(expected + more))), RUINED), self._noise.most)
        return gain if works else self._held(gain)

    def _fails(self, key: Sequence[int]) -> bool:
        """Whether a script that was not recorded has no metric."""
        pairs, too_long = self._broken[np.ix_(key, key)], len(key) > 1 and self._doublings[key].sum() > self._limit
        return bool(self._dead[key].any() or pairs.any() or too_long)

    def _residual(self, key: Numbers, expected: float) -> float:
        """Return the residual of a script that was not recorded, on the link's scale: one per edit alone, else one per pair."""
        among = self._rough[np.ix_(key, key)]
        rough = among[0, 0] if len(key) == 1 else np.triu(among, 1).sum() / math.sqrt(math.comb(len(key), 2))
        return self._surrogate.residual(len(key), expected, float(rough))

    def _held(self, gain: float) -> float:
        """Let what was not measured rise above the best that was by one error at most."""
        room, above = self._surrogate.deviation(_LONGEST, self._ceiling), gain - self._ceiling
        return self._ceiling + room * -math.expm1(-above / room) if room and above > 0.0 else min(gain, self._ceiling)

    def _climb(self, key: Numbers) -> Numbers:
        """Add the best edit, or take away the worst, until neither is better."""
        while True:
            steps = [tuple(number for number in key if number != other) for other in key]
            if len(key) < _LONGEST:
                steps += [tuple(sorted((*key, int(number)))) for number in self._promising(key)]
            gains = [(gain, step) for step in steps if (gain := self._gain(step)) == gain]
            best = max(gains, default=(-math.inf, key))
            if not best[0] > self._gain(key) + 1e-9:
                return key
            key = best[1]

    def _promising(self, key: Numbers) -> Index:
        """Return the edits that may follow and that the surrogate likes most: asking for all would take seconds."""
        following = self._following(key)
        liked = self._effects[following] + self._pairs[following][:, list(key)].sum(1)
        return following[np.argsort(-liked, kind="stable")[:_PROMISING]]


def open_landscape(name: str) -> TableLandscape:
    """Open a landscape file, or one that ships with codegraft by its name, with the target that it was measured on.

    Raises: TrialError: there is none, or the target, its manifest or the grammar is not what it was measured with.
    TargetError: the target is not there.
    """
    path = find_landscape(name)
    table, model = read_landscape(path)
    sources = open_sources(table.provenance.target)
    now = provenance_of(sources.trainable, sources.snapshot, default_grammar(), seed=0, size=0)
    if differences := table.provenance.differences(now):
        raise TrialError(f"{path}: was measured with other {' and '.join(differences)}; build it again")
    return TableLandscape(table, model, sources.unrestricted)


def _apart(code: Code, edits: Sequence[Edit]) -> NDArray[np.bool_]:
    """Return which edits are at one site or touch the same bytes: (M, M)."""
    sites = np.array([edit.site for edit in edits])
    apart = sites[:, None] == sites
    for pair in code.conflicts(edits):
        apart[pair] = apart[pair[::-1]] = True
    return np.asarray(apart)


def _anchored(address: str, graph: CodeGraph) -> Edit:
    edit = parse_edit(address)
    node = graph.nodes.get(edit.site)
    if node is None:
        raise TrialError(f"{edit.site}: is not in the target any more; build the landscape again")
    return replace(edit, anchor=node.anchor)


def _symmetric(values: Array) -> Array:
    upper = np.triu(values)
    return np.asarray(upper + np.triu(values, 1).T)
