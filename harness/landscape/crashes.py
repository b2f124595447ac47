"""Which scripts have no metric: known for what was tried, a chance for pairs of edits that were not.

A script has none when one of its edits has none alone, or two have none together. There are two ways for two edits to have none: the
program fails, or there is no such program because they touch the same bytes. In a campaign the second is no trial lost, since the edits
of a program are listed anew; so the two are told apart. What three edits do that no two do is not modelled.

The chance of a pair is that of its two kinds, drawn towards that of all pairs where few were tried. In a script that works all pairs do;
in one of more than two edits that does not, one of its pairs does not, and nobody knows which.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from mutator.edit import parse_edit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from harness.landscape.table import Script

    Array = NDArray[np.float64]
    Pair = tuple[int, int]

_PRIOR = 4.0  # pairs that the chance of all pairs counts as much as


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of M edits that both are possible alone, and not always together."""

    chances: Array  # (M, M) that two are not; 0 or 1 where it was tried
    overall: float  # of a pair that says nothing
    n_tried: int  # pairs, each for itself
    brier: float  # mean squared error of the chance of each of these, from the others
    brier_overall: float  # the same for one chance for all


@dataclass(frozen=True, slots=True)
class Crashes:
    """M edits."""

    alone: NDArray[np.bool_]  # (M,) edits that have no metric
    together: Pairs  # that have none
    apart: Pairs  # of which there is no program


def fit_crashes(works: Mapping[Script, bool], addresses: Sequence[str], refused: Collection[Script] = ()) -> Crashes:
    """Fit to which scripts have a metric; of those that were refused there is no program."""
    numbers = {address: number for number, address in enumerate(addresses)}
    dead = {script[0] for script, ok in works.items() if len(script) == 1 and not ok}
    alone = np.array([address in dead for address in addresses], bool)
    live = {script: ok for script, ok in works.items() if dead.isdisjoint(script)}
    ran = {script: ok for script, ok in live.items() if script not in refused}
    possible = {script: script not in refused for script in live}
    return Crashes(alone, _fit_pairs(ran, numbers), _fit_pairs(possible, numbers))


def _fit_pairs(possible: Mapping[Script, bool], numbers: Mapping[str, int]) -> Pairs:
    """Fit to scripts that are possible, and that are not."""
    kinds = [parse_edit(address).kind for address in numbers]
    known = {pair: ok for script, ok in possible.items() if ok or len(script) == 2 for pair in _pairs(script, numbers)}
    failed = [len(script) for script, ok in possible.items() if not ok]
    overall = (len(failed) + 0.5) / (len(known) + sum(comb(n, 2) for n in failed if n > 2) + 10.0)
    n_known, n_failed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for at, ok in known.items():
        n_known[_kinds(kinds, at)] += 1
        n_failed[_kinds(kinds, at)] += not ok
    chances = np.zeros((len(kinds), len(kinds)))
    for at in combinations(range(len(kinds)), 2):
        of = _kinds(kinds, at)
        chances[at] = float(not known[at]) if at in known else _chance(n_known[of], n_failed[of], overall)
    run = [at for script in possible if len(script) == 2 for at in _pairs(script, numbers)]
    fails = np.array([not known[at] for at in run], float)
    left_out = [(n_known[_kinds(kinds, at)] - 1, n_failed[_kinds(kinds, at)] - (not known[at])) for at in run]
    by_others = np.array([_chance(*counts, overall) for counts in left_out])
    return Pairs(chances + chances.T, overall, len(run), _brier(by_others, fails), _brier(np.array(overall), fails))


def _brier(chances: Array, fails: Array) -> float:
    return float(np.mean((chances - fails) ** 2)) if fails.size else 0.0


def _pairs(script: Script, numbers: Mapping[str, int]) -> Iterator[Pair]:
    return combinations(sorted(numbers[address] for address in script), 2)


def _kinds(kinds: Sequence[str], at: Pair) -> tuple[str, str]:
    one, other = sorted(kinds[i] for i in at)
    return one, other


def _chance(n: int, n_failed: int, overall: float) -> float:
    """Return the chance that a pair of two kinds fails, of which so many are known."""
    return (n_failed + _PRIOR * overall) / (n + _PRIOR)
