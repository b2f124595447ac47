"""Which scripts have no metric: known for what was tried, a chance for pairs of edits that were not.

A script has none when one of its edits has none alone, when two have none together, or when all together take too long: each edit doubles
the CPU time so many times, and beyond so many doublings runs were ended. What else three edits do that no two do is not modelled.
Edits that touch the same bytes are not meant: there is no such program, and the mutator knows which they are.

The chance of a pair is that of its two kinds, drawn towards that of all pairs where few were tried. In a script that works all pairs do;
in one of more than two edits that does not, one of its pairs does not, and nobody knows which.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, combinations
from typing import TYPE_CHECKING

import numpy as np

from mutator.edit import parse_edit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from harness.landscape.table import Script

    Array = NDArray[np.float64]
    Pair = tuple[int, int]

_PRIOR = 4.0  # pairs that the chance of all pairs counts as much as


@dataclass(frozen=True, slots=True)
class Crashes:
    """Edits and pairs of M edits."""

    alone: NDArray[np.bool_]  # (M,) edits that have no metric
    chances: Array  # (M, M) that two edits that both have a metric have none together; 0 or 1 where it was tried
    overall: float  # of a pair that says nothing
    n_tried: int  # pairs, each for itself
    brier: float  # mean squared error of the chance of each of these, from the others
    brier_overall: float  # the same for one chance for all


def fit_limit(works: Mapping[Script, bool], doublings: Mapping[Script, float]) -> float:
    """Return beyond how many doublings, which its edits have alone, a script of several edits takes too long; infinite where none did.

    works: whether it ended in time, of those that did or took too long. doublings: of scripts of one edit.
    """
    several = sorted((add_up(script, doublings), ok) for script, ok in works.items() if len(script) > 1)
    wrong = list(accumulate((1 if ok else -1 for _, ok in reversed(several)), initial=sum(not ok for _, ok in several)))
    least = min(range(len(wrong)), key=wrong.__getitem__)
    return [-math.inf, *(doubled for doubled, _ in several)][-least - 1] if least else math.inf


def add_up(script: Script, doublings: Mapping[Script, float]) -> float:
    """Return how many times the edits of a script double the CPU time, if each does what it does alone."""
    return sum(doublings.get((address,), 0.0) for address in script)


def fit_crashes(works: Mapping[Script, bool], addresses: Sequence[str]) -> Crashes:
    """Fit to which scripts had a metric, of those that ran."""
    numbers = {address: number for number, address in enumerate(addresses)}
    kinds = [parse_edit(address).kind for address in addresses]
    dead = {script[0] for script, ok in works.items() if len(script) == 1 and not ok}
    live = {script: ok for script, ok in works.items() if len(script) > 1 and dead.isdisjoint(script)}
    known = {pair: ok for script, ok in live.items() if ok or len(script) == 2 for pair in _pairs(script, numbers)}
    failed = [len(script) for script, ok in live.items() if not ok]
    overall = (len(failed) + 0.5) / (len(known) + sum(math.comb(n, 2) for n in failed if n > 2) + 10.0)
    n_known, n_failed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for at, ok in known.items():
        n_known[_kinds(kinds, at)] += 1
        n_failed[_kinds(kinds, at)] += not ok
    chances = np.zeros((len(kinds), len(kinds)))
    for at in combinations(range(len(kinds)), 2):
        of = _kinds(kinds, at)
        chances[at] = float(not known[at]) if at in known else _chance(n_known[of], n_failed[of], overall)
    run = [at for script in live if len(script) == 2 for at in _pairs(script, numbers)]
    fails = np.array([not known[at] for at in run], float)
    left_out = [(n_known[_kinds(kinds, at)] - 1, n_failed[_kinds(kinds, at)] - (not known[at])) for at in run]
    by_others = np.array([_chance(*counts, overall) for counts in left_out])
    alone = np.array([address in dead for address in addresses], bool)
    errors = (_brier(each, fails) for each in (by_others, np.array(overall)))
    return Crashes(alone, chances + chances.T, overall, len(run), *errors)


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
