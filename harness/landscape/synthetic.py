"""Synthetic landscapes: invented effects of a target's real edits, in families whose tasks share as much as one says.

An edit's effect is rho times a function of its content (kind, site and choice as policies see them: the same for all tasks of a family)
plus sqrt(1 - rho^2) times what is private to the task. The edits of one number are points of one curve, with an optimum somewhere
beside the value that stands. A part of the sites was tuned by hand before: no edit there helps, alone. Pairs of sites may interact, some
edits and some pairs crash, a run's noise is in part its seed's. Where all is additive but for a few pairs, what is best is nearly known:
the best of greedy climbs from several starts.

Gains are in units of the median size of an edit's effect, which moves the metric by 1 %.

Source: the idea of a table in place of a training, Ying et al. 2019 (arXiv:1902.09635); of learning to search on invented functions,
Chen et al. 2017 (arXiv:1611.03824).
Not covered: edits that open sites for others, effects that saturate, noise that depends on the program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from policy.tally import identify
from targets.manifest import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

    from graph.code_graph import CodeGraph
    from harness.landscape.ground import Flags, Floats, Ground, Ints
    from mutator.edit import Edit

_BASELINE = 1.0
_UNIT = 0.01  # of the metric: the median size of an effect
_HURTS = 0.6  # mean loss of an edit that is no number, in sd of its effects: one in four helps where nothing was tuned
_TAIL = 1.7  # power of effects: few edits are worth much, as measured on small language models
_TOGETHER = 0.8  # share of the private sd that the choices of one kind at one site have in common
_HIDDEN = 64  # width of the random network that stands for a function of content
_TRAITS = 4  # numbers by which content decides how two edits interact
_SHARPNESS = 0.5  # of the curve of a number: what doubling it costs where it was right
_ROUGHNESS = 0.15  # sd of the points around the curve
_STARTS = 8  # of the search for the best script
_LEAST_STEP = 1e-12  # metric


@dataclass(frozen=True, slots=True)
class Family:
    """What the tasks of a family have in common. All shares are in 0..1."""

    seed: int = 0
    rho: float = 0.4  # share of the sd of effects that content decides, so that it transfers
    noise: float = 0.5  # sd between seeds, in units of the median effect
    of_seed: float = 0.5  # share of that variance that all programs have in common on one seed
    pairs: float = 0.01  # share of the pairs of sites that interact
    strength: float = 0.5  # sd of an interaction, in units of the median effect
    crashes: float = 0.03  # share of the edits, and of the interacting pairs, without a metric
    tuned: float = 0.5  # share of the sites that a person tuned


@dataclass(frozen=True, eq=False)
class Synthetic:
    """One task: a harness.landscape.Landscape. M edits."""

    name: str
    ground: Ground
    sd: float
    effects: Floats  # (M,) gains of single edits in the metric's unit, positive when better
    pairs: Floats  # (M, M) what two edits gain on top, symmetric
    crashing: Flags  # (M, M) which do not run together; on the diagonal: alone
    of_seed: float

    @property
    def graph(self) -> CodeGraph:
        """The unedited target's graph."""
        return self.ground.graph

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The target's edits, as its grammar lists them."""
        return self.ground.edits

    @property
    def direction(self) -> Direction:
        """The target's."""
        return self.ground.direction

    @property
    def baseline(self) -> float:
        """The metric of the unedited target: 1."""
        return _BASELINE

    @cached_property
    def best(self) -> float:
        """The metric of the best script that greedy climbs find, from the unedited target and from random scripts."""
        stream = np.random.default_rng(len(self.edits))
        starts = [_random_script(self.ground.sites, stream) if i else np.empty(0, np.int64) for i in range(_STARTS)]
        return self._metric(max(self._gain(self._climb(start)) for start in starts))

    def legal(self, script: Sequence[Edit]) -> tuple[Edit, ...]:
        """Return the edits at no site that the script edits."""
        free = self._free(self._rows(script))
        return tuple(edit for edit, is_free in zip(self.edits, free.tolist(), strict=True) if is_free)

    def value(self, script: Sequence[Edit]) -> float:
        """Return the true metric of a script, NaN when it crashes or edits a site twice."""
        return self._metric(self._gain(self._rows(script)))

    def measure(self, script: Sequence[Edit], seed: int) -> float:
        """Return the metric with the noise of a run; programs that compute the same measure the same."""
        rows = self._rows(script)
        what = " ".join(map(str, np.sort(rows[~self.ground.inert[rows]]).tolist()))
        shared, own = _normal(f"{self.name}/{seed}"), _normal(f"{self.name}/{seed}/{what}")
        noise = math.sqrt(self.of_seed) * shared + math.sqrt(1 - self.of_seed) * own
        return self._metric(self._gain(rows)) + self.sd * noise

    @cached_property
    def _numbers(self) -> dict[tuple[object, ...], int]:
        return {identify(edit): row for row, edit in enumerate(self.edits)}

    def _rows(self, script: Sequence[Edit]) -> Ints:
        """Return the rows of a script's edits.

        Raises: KeyError: the landscape has no such edit.
        """
        return np.array([self._numbers[identify(edit)] for edit in script], np.int64)

    def _free(self, rows: Ints) -> Flags:
        return ~np.isin(self.ground.sites, self.ground.sites[rows])

    def _gain(self, rows: Ints) -> float:
        sites, among = self.ground.sites[rows], np.ix_(rows, rows)
        if len(np.unique(sites)) < len(sites) or self.crashing[among].any():
            return math.nan
        return float(self.effects[rows].sum() + self.pairs[among].sum() / 2)

    def _metric(self, gain: float) -> float:
        return _BASELINE + self.direction.sign * gain

    def _climb(self, rows: Ints) -> Ints:
        """Add, exchange or drop the edit that gains most, until none gains."""
        sites = self.ground.sites
        held = np.full(int(sites.max()) + 1, -1)
        held[sites[rows]] = rows
        while True:
            now = held[held >= 0]
            worth = self.effects + self.pairs[:, now].sum(
                1
            )  # of each edit beside those that are held; two of one site do not interact
            steps = worth - np.where(held[sites] >= 0, worth[held[sites]], 0.0)
            clashes = self.crashing[:, now] & (sites[now] != sites[:, None])
            steps[np.diagonal(self.crashing) | clashes.any(1)] = -np.inf
            steps[now] = -worth[now]
            chosen = int(steps.argmax())
            if steps[chosen] <= _LEAST_STEP:
                return now
            held[sites[chosen]] = -1 if held[sites[chosen]] == chosen else chosen


def generate(ground: Ground, family: Family, task: int) -> Synthetic:
    """Invent one task of a family on a target's edits; equal arguments give equal landscapes."""
    common, stream = _open_streams(family, task)
    mix = _Mix.of(family)
    effects = _draw_effects(ground, family, mix, common, stream)
    pairs, meeting = _draw_pairs(ground, family, mix, common, stream)
    crashing = _draw_crashes(ground, family, mix, common, stream)
    crashing |= meeting & (_symmetric(stream, len(effects)) > _quantile(family.crashes))
    live = ~(np.diagonal(crashing) | ground.inert)
    unit = _UNIT / float(np.median(np.abs(effects[live])))
    name = f"{ground.name}/rho {family.rho:g} noise {family.noise:g}/{family.seed}.{task}"
    return Synthetic(
        name, ground, family.noise * _UNIT, effects * unit, pairs * family.strength * _UNIT, crashing, family.of_seed
    )


def invent_effects(ground: Ground, family: Family, task: int) -> Floats:
    """Return what the single edits of a task gain, in sd of a run, whether they crash or not: (M,). Cheaper than the whole task."""
    effects = _draw_effects(ground, family, _Mix.of(family), *_open_streams(family, task))
    gains: Floats = effects / float(np.median(np.abs(effects[~ground.inert]))) / family.noise
    return gains


def _open_streams(family: Family, task: int) -> tuple[Generator, Generator]:
    """Return what a family's tasks have in common, and a task's own."""
    return np.random.default_rng([family.seed]), np.random.default_rng([family.seed, task, 1])


@dataclass(frozen=True, slots=True)
class _Mix:
    """How what is shared and what is private add up to a variance of 1."""

    shared: float
    private: float

    @classmethod
    def of(cls, family: Family) -> _Mix:
        return cls(family.rho, math.sqrt(1 - family.rho**2))

    def __call__(self, shared: Floats, private: Floats) -> Floats:
        return self.shared * shared + self.private * private


def _draw_effects(ground: Ground, family: Family, mix: _Mix, common: Generator, stream: Generator) -> Floats:
    """Return what each edit gains alone, in units of no importance: (M,)."""
    n_sites, doublings = int(ground.sites.max()) + 1, np.nan_to_num(ground.doublings)
    together, own = (stream.standard_normal(n)[rows] for n, rows in _levels(ground))
    private = math.sqrt(_TOGETHER) * together + math.sqrt(1 - _TOGETHER) * own
    choices = mix(_function(common, *ground.content), private) - _HURTS
    optimum = mix(_function(common, ground.content[1]), stream.standard_normal(n_sites)[ground.sites])
    tuned = (stream.permutation(n_sites) < family.tuned * n_sites)[ground.sites]
    optimum[tuned] = 0.0
    sharpness = _SHARPNESS * np.exp(0.3 * stream.standard_normal(n_sites))[ground.sites]
    curves = sharpness * (2 * doublings * optimum - doublings**2) + _ROUGHNESS * own
    effects = np.where(np.isnan(ground.doublings), np.sign(choices) * np.abs(choices) ** _TAIL, curves)
    return np.where(ground.inert, 0.0, np.where(tuned, -np.abs(effects), effects))


def _levels(ground: Ground) -> tuple[tuple[int, Ints], tuple[int, Ints]]:
    n = len(ground.edits)
    return (int(ground.places.max()) + 1, ground.places), (n, np.arange(n))


def _draw_pairs(
    ground: Ground, family: Family, mix: _Mix, common: Generator, stream: Generator
) -> tuple[Floats, Flags]:
    """Return how pairs of edits interact, with an sd of 1 where they do, and where they do: (M, M) each."""
    n, n_sites = len(ground.edits), int(ground.sites.max()) + 1
    apart = ground.sites[:, None] != ground.sites
    meeting = (_symmetric(stream, n_sites) > _quantile(family.pairs))[np.ix_(ground.sites, ground.sites)] & apart
    left, right = (
        np.stack([_function(common, *ground.content) for _ in range(_TRAITS)], 1) for _ in range(2)
    )  # (M, T) each
    shared = (left @ right.T + right @ left.T) / math.sqrt(2 * _TRAITS)
    live = ~ground.inert
    return mix(shared, _symmetric(stream, n)) * (meeting & live & live[:, None]), meeting


def _draw_crashes(ground: Ground, family: Family, mix: _Mix, common: Generator, stream: Generator) -> Flags:
    """Return which edits crash alone, on the diagonal of (M, M)."""
    alone = mix(_function(common, *ground.content), stream.standard_normal(len(ground.edits)))
    return np.diag((alone > np.quantile(alone, 1 - family.crashes)) & ~ground.inert)


def _function(stream: Generator, *content: Floats) -> Floats:
    """Return a random smooth function of the edits' content, with mean 0 and sd 1 over the edits: (M,)."""
    inner = sum(rows @ stream.standard_normal((rows.shape[1], _HIDDEN)) for rows in content)
    outer: Floats = np.tanh(inner) @ stream.standard_normal(_HIDDEN)
    spread = float(outer.std())
    centred: Floats = (outer - outer.mean()) / (spread or 1.0)
    return centred


def _symmetric(stream: Generator, n: int) -> Floats:
    """Return a symmetric matrix of standard normal numbers: (n, n)."""
    half: Floats = np.triu(stream.standard_normal((n, n)))
    both: Floats = half + np.triu(half, 1).T
    return both


def _quantile(share: float) -> float:
    """Return what a share of standard normal numbers exceeds."""
    return NormalDist().inv_cdf(1 - share) if share > 0 else math.inf


def _random_script(sites: Ints, stream: Generator) -> Ints:
    """Return an edit for half of the sites."""
    order = stream.permutation(len(sites))
    _, first = np.unique(sites[order], return_index=True)
    return order[first[stream.random(len(first)) < 0.5]]


def _normal(key: str) -> float:
    """Return the standard normal number of a key, the same in every process."""
    digest = int.from_bytes(blake2b(key.encode(), digest_size=6).digest())
    return NormalDist().inv_cdf((digest + 0.5) / 2**48)
