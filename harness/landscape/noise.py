"""How much a metric moves between seeds, how much of that programs have in common on one seed, and how it grows with a program's effect.

    metric(script, seed) = value(script) + common(seed) + own(script, seed)

The variance of `own` is that of small effects times (1 + |gain in sd|) to the power `growth`: a program that trains much better or
worse than the unedited one is also less like it on one seed. But no run is better than can be true, so neither part is larger than the
way to that bound. `common` is the same for all programs. Fitted on all scripts with two seeds or more: a two-way layout for the seeds,
the likeliest growth on a grid, in turns.
Source: two-way layouts with unequal variances, Searle, Casella and McCulloch 1992, chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.landscape.table import Script

    Array = NDArray[np.float64]

_LEAST_SCRIPTS = 3  # with repeats, to tell what is common from what is not
_GROWTHS = np.arange(0.0, 2.05, 0.1)
_USUAL_GROWTH = 0.5  # deviation of a prior around none: few repeats prove no growth
_TURNS = 4
_FLAT = 1e-9  # of |metric|: an sd below it is none
_FAR = 20.0  # sd: a program that is further away is another matter; it says nothing of the noise near the unedited one


@dataclass(frozen=True, slots=True)
class Noise:
    """The fitted noise, in the metric's unit."""

    baseline: float  # true metric of the unedited target
    sd: float  # between seeds, of a program like it
    shared: float  # share of that variance which programs on one seed have in common
    growth: float
    seeds: tuple[tuple[int, float], ...]  # what each seed adds to all programs
    n_repeats: int  # runs beyond the first of a script, which all this rests on
    bound: float = math.inf  # the best metric that can be true; not finite: none

    @property
    def most(self) -> float:
        """The gain, in sd, of a program at the bound."""
        return abs(self.bound - self.baseline) / self.sd

    def common(self, seed: int) -> float:
        """Return what a seed of the table adds."""
        return dict(self.seeds).get(seed, 0.0)

    def own_sd(self, gain: float) -> float:
        """Return the deviation of what is a program's own, for a gain in standard deviations."""
        grown = math.sqrt(1.0 - self.shared) * math.pow(1.0 + min(abs(gain), _FAR), self.growth / 2)
        return self.sd * min(grown, max(0.0, self.most - gain))


def fit_noise(metrics: Mapping[Script, Mapping[int, float]], bound: float = math.inf) -> Noise:
    """Fit the noise to script -> seed -> metric; the unedited target is the empty script, and no run can be better than the bound.

    Raises: TrialError: it has no two runs.
    """
    base = np.array(list(metrics.get((), {}).values()))
    if len(base) < 2:
        raise TrialError(f"baseline: has {len(base)} runs with a metric; a landscape needs 2, better 8")
    sd = max(float(base.std(ddof=1)), _FLAT * abs(float(base.mean())), _FLAT)
    near = (found for found in metrics.values() if abs(float(np.mean(list(found.values()))) - base.mean()) <= _FAR * sd)
    repeated = [dict(found) for found in near if len(found) > 1]
    n_repeats = sum(len(found) - 1 for found in repeated)
    if len(repeated) < _LEAST_SCRIPTS:
        return Noise(float(base.mean()), sd, 0.0, 0.0, (), n_repeats, bound)
    seeds = sorted({seed for found in repeated for seed in found})
    runs = np.array([[found.get(seed, math.nan) for seed in seeds] for found in repeated])  # (S, K), NaN: did not run
    effects, own, growth, variance = _fit_layout(runs, float(base.mean()), sd)
    common = dict(zip(seeds, map(float, effects), strict=True))
    mean = float(np.mean([metric - common[seed] for seed, metric in metrics[()].items()]))
    total = variance + own
    if total <= 0.0:
        return Noise(mean, sd, 0.0, 0.0, (), n_repeats, bound)
    return Noise(mean, math.sqrt(total), variance / total, growth, tuple(common.items()), n_repeats, bound)


def _fit_layout(runs: Array, base: float, sd: float) -> tuple[Array, float, float, float]:
    """Return the seeds' effects (K,), the variance of `own` where nothing is gained, its growth, and the variance of the seeds' effects."""
    sizes = 1.0 + np.abs(np.nanmean(runs, 1) - base) / sd  # (S,)
    freedom = (~np.isnan(runs)).sum(1) - 1.0
    # Each seed's effect takes a degree of freedom from the scripts together.
    freedom *= max(0.0, 1.0 - (runs.shape[1] - 1) / freedom.sum())
    growth = 0.0
    for _ in range(_TURNS):
        effects, uncertain = _fit_seeds(runs, sizes**-growth)
        left = runs - effects
        squares = np.nansum((left - np.nanmean(left, 1, keepdims=True)) ** 2, 1)  # (S,)
        own, growth = _likeliest(squares, freedom, sizes)
    variance = max(0.0, float(np.sum(effects**2)) / max(1, runs.shape[1] - 1) - own * uncertain)
    shrink = variance / (variance + own * uncertain) if variance > 0.0 else 0.0
    return shrink * effects, own, growth, variance


def _fit_seeds(runs: Array, weights: Array) -> tuple[Array, float]:
    """Return the effects (K,) of the seeds, which sum to zero, and the mean of their variances in units of `own`."""
    there = (~np.isnan(runs)).astype(float)
    centred = np.nan_to_num(runs - np.nanmean(runs, 1, keepdims=True))
    normal = np.diag(weights @ there) - (there * (weights / there.sum(1))[:, None]).T @ there
    inverse = np.linalg.pinv(normal)  # of rank K - 1: what all seeds add belongs to the scripts
    return inverse @ (weights @ centred), float(np.diag(inverse).mean())


def _likeliest(squares: Array, freedom: Array, sizes: Array) -> tuple[float, float]:
    """Return the variance where nothing is gained and the growth that make the scripts' sums of squares (S,) most likely."""
    found = []
    for growth in _GROWTHS:
        own = float((squares * sizes**-growth).sum() / max(freedom.sum(), 1e-9))
        likelihood = -float((freedom * (math.log(max(own, 1e-300)) + growth * np.log(sizes))).sum())
        found.append((likelihood - float(growth / _USUAL_GROWTH) ** 2, own, float(growth)))
    _, own, growth = max(found)
    return own, growth
