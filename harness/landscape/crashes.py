"""Which scripts have no metric: known for what was tried, a chance for pairs of edits that were not.

A script has none when one of its edits has none alone, or two have none together. What three edits do that no two do is not modelled. The
chance of a pair is that of its two kinds, drawn towards that of all pairs where few were tried.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mutator.edit import parse_edit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from harness.landscape.table import Script

    Array = NDArray[np.float64]

_PRIOR = 4.0  # pairs that the chance of all pairs counts as much as


@dataclass(frozen=True, slots=True)
class Crashes:
    """Edits and pairs of M edits."""

    alone: NDArray[np.bool_]  # (M,) edits that have no metric
    chances: Array  # (M, M) that two edits that both have a metric have none together; 0 or 1 where it was tried
    overall: float  # of a pair that says nothing
    n_tried: int  # pairs
    brier: float  # mean squared error of the chance of each tried pair, from the others
    brier_overall: float  # the same for one chance for all


def fit_crashes(works: Mapping[Script, bool], addresses: Sequence[str]) -> Crashes:
    """Fit to what had a metric (True) and what had none."""
    numbers = {address: number for number, address in enumerate(addresses)}
    alone = np.array([not works.get((address,), True) for address in addresses], bool)
    kinds = [parse_edit(address).kind for address in addresses]
    pairs = _live_pairs(works, numbers, alone)
    together = [ok for script, ok in works.items() if len(script) > 2 and not any(alone[numbers[a]] for a in script)]
    overall = (sum(not ok for ok in (*pairs.values(), *together)) + 0.5) / (len(pairs) + len(together) + 10.0)
    tried, failed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for (i, j), ok in pairs.items():
        tried[_kinds(kinds, i, j)] += 1
        failed[_kinds(kinds, i, j)] += not ok
    chances = np.full((len(kinds), len(kinds)), overall)
    for i, j in combinations(range(len(kinds)), 2):
        n = tried[_kinds(kinds, i, j)]
        if n:
            chances[i, j] = chances[j, i] = (failed[_kinds(kinds, i, j)] + _PRIOR * overall) / (n + _PRIOR)
    errors = [
        _left_out(tried[k := _kinds(kinds, *at)], failed[k], not ok, overall) - (not ok) for at, ok in pairs.items()
    ]
    _fix_known(chances, works, numbers)
    flat = [overall - (not ok) for ok in pairs.values()]
    return Crashes(alone, chances, overall, len(pairs), _mean_square(errors), _mean_square(flat))


def _live_pairs(
    works: Mapping[Script, bool], numbers: Mapping[str, int], alone: NDArray[np.bool_]
) -> dict[tuple[int, int], bool]:
    pairs = {(numbers[script[0]], numbers[script[1]]): ok for script, ok in works.items() if len(script) == 2}
    return {(i, j): ok for (i, j), ok in pairs.items() if not (alone[i] or alone[j])}


def _fix_known(chances: Array, works: Mapping[Script, bool], numbers: Mapping[str, int]) -> None:
    """Write down what was tried: all pairs inside a script that works do, a pair that does not, does not."""
    for script, ok in works.items():
        if ok or len(script) == 2:
            for one, other in combinations(script, 2):
                i, j = numbers[one], numbers[other]
                chances[i, j] = chances[j, i] = 0.0 if ok else 1.0


def _left_out(n: int, failed: int, has_failed: bool, overall: float) -> float:
    return (failed - has_failed + _PRIOR * overall) / (n - 1 + _PRIOR)


def _kinds(kinds: Sequence[str], i: int, j: int) -> tuple[str, str]:
    one, other = sorted((kinds[i], kinds[j]))
    return one, other


def _mean_square(errors: Iterable[float]) -> float:
    values = np.array(list(errors), float)
    return float(np.mean(values**2)) if len(values) else 0.0
