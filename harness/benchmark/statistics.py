"""What runs of policies on many tasks say together: interquartile means, intervals, paired differences, probability of improvement.

A score is the share of what can be gained that a campaign's incumbent truly gains. Tasks are strata: a bootstrap draws the runs of each
task anew, never the tasks, so the intervals speak of these tasks. Differences are paired: policies play the same landscape, same noise.

Source: Agarwal et al. 2021 (arXiv:2108.13264, rliable), sections 4.1 to 4.3. Unlike there, the probability of improvement compares
paired runs, since the runs of a task with one seed share their landscape and noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Scores = NDArray[np.float64]  # (tasks, runs)

_DRAWS = 2000
_COVERED = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, by the percentiles of a stratified bootstrap."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interquartile_mean(scores: Scores) -> Scores:
    """Return the mean of the middle half of all runs: (..., tasks, runs) -> (...). A quarter is cut at each end, rounded down."""
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    middle: Scores = flat[..., cut : flat.shape[-1] - cut].mean(-1)
    return middle


def mean(scores: Scores) -> Scores:
    """Return the mean of all runs: (..., tasks, runs) -> (...)."""
    found: Scores = scores.mean((-2, -1))
    return found


def estimate(
    scores: Scores, statistic: Callable[[Scores], Scores] = interquartile_mean, *, n_draws: int = _DRAWS
) -> Estimate:
    """Estimate a statistic of the scores (tasks, runs), with its 95 % interval; equal scores give equal intervals."""
    n_tasks, n_runs = scores.shape
    drawn = np.random.default_rng(0).integers(n_runs, size=(n_draws, n_tasks, n_runs))
    found = statistic(np.take_along_axis(scores[None], drawn, axis=-1))
    low, high = np.quantile(found, [(1 - _COVERED) / 2, (1 + _COVERED) / 2])
    return Estimate(float(statistic(scores)), float(low), float(high))


def difference(scores: Scores, others: Scores) -> Estimate:
    """Estimate how much more the one gains than the other: the mean of the paired differences."""
    return estimate(scores - others, mean)


def ratio(scores: Scores, others: Scores) -> Estimate:
    """Estimate how many times as much the one gains as the other, by their means over paired runs.

    Infinite where the other alone gains nothing; NaN, no number of times, where neither gains.
    """
    n_tasks, n_runs = scores.shape
    drawn = np.random.default_rng(0).integers(n_runs, size=(_DRAWS, n_tasks, n_runs))
    ours, theirs = (mean(np.take_along_axis(each[None], drawn, axis=-1)) for each in (scores, others))
    times = _quotient(ours, theirs)
    low, high = np.quantile(times, [(1 - _COVERED) / 2, (1 + _COVERED) / 2], method="nearest")
    return Estimate(float(_quotient(mean(scores), mean(others))), float(low), float(high))


def _quotient(ours: Scores, theirs: Scores) -> Scores:
    """Return ours / theirs; where theirs is no gain, infinity if ours is one, else NaN."""
    no_gain = np.where(ours > 0.0, np.inf, np.nan)
    return np.where(theirs > 0.0, ours / np.where(theirs > 0.0, theirs, 1.0), no_gain)


def probability_of_improvement(scores: Scores, others: Scores) -> Estimate:
    """Estimate how often the one gains more than the other on the same task and seed; a tie is half."""
    return estimate((scores > others) + 0.5 * (scores == others), mean)
