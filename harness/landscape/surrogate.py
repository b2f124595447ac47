"""What a script would measure that was not run: an exact Gaussian process over sets of edits, fitted to all that were.

Effects and pairwise interactions as harness.landscape.kernel compares them, on the scale of a link; a deviation of each script's own,
for what more than two edits do together; and the noise of the runs. The weights of the parts are the likeliest on a sample. The link
is the one with the least error on held-out scripts.

Held out are scripts of two edits or more, a fifth at a time: singles are all measured, so leaving them out would say nothing. Weights of
the parts and the scales of products rest on all scripts. Errors are in standard deviations of the unedited target; the noise of the
held-out runs, about one, is in them. What is worse than WORST counts as that bad, for all predictors alike: nobody cares how
bad a ruined program is.
Source: Rasmussen and Williams 2006, chapter 2; block-wise leaving out from one inverse: Sundararajan and Keerthi 2001.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from harness.landscape.kernel import Likeness, covariances, likeness_of
from harness.landscape.link import Link
from policy.draw import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from harness.landscape.noise import Noise
    from harness.landscape.table import Script

    Array = NDArray[np.float64]
    Quantiles = tuple[float, ...]  # on the link's scale

RUINED = -40.0  # sd: what is worse counts as this to the surrogate
WORST = -10.0  # sd
FOLDS = 5
_SAMPLE = 500  # scripts that choose the weights of the parts; a step is cubic in them
_SAMPLE_OF_LINKS = 250  # scripts that choose the weights while links are compared
_COMPARED = 800  # scripts that links are compared on
_SWEEPS = 3
_GRID = np.array((0.0, 0.25, 0.5, 1.0, 2.0, 4.0))  # what a sweep multiplies a weight with
_LEAST_WEIGHT = 1e-3  # from which a weight that is zero may grow again
_LEAST_NOISE = 1e-4  # variance, sd: keeps matrices well conditioned where seeds change nothing
_KNEES = (3.0, 10.0)
_CEILINGS = (1.5, 3.0)  # times the best gain
_HUGE = 1e12
_LEAST_HELD_OUT = 10  # scripts; below, nothing is said about errors
LENGTHS = (1, 2, 6)  # edits: scripts up to one of these are alike, and longer ones
EXPECTED = (
    -3.0,
    3.0,
    10.0,
    30.0,
    100.0,
)  # gains, sd: between them errors are alike, far from nothing many times larger
_QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)  # of errors: most are small, a few are not
_NORMAL = tuple(map(NormalDist().inv_cdf, _QUANTILES))


@dataclass(frozen=True, slots=True)
class Observed:
    """Measured scripts."""

    addresses: tuple[str, ...]  # of M edits
    scripts: Array  # (N, M) zeros and ones
    gains: Array  # (N,) in sd, positive when better, not below RUINED, the seeds' common part taken out
    variances: Array  # (N,) of the noise in them, sd squared
    most: float  # gain that none can exceed, sd

    @property
    def n_edits(self) -> Array:
        """The number of edits of each script, (N,)."""
        return np.asarray(self.scripts.sum(1))

    def some(self, numbers: Sequence[int]) -> Observed:
        """Return what was observed of some of the scripts."""
        chosen = list(numbers)
        return replace(self, scripts=self.scripts[chosen], gains=self.gains[chosen], variances=self.variances[chosen])


@dataclass(frozen=True, slots=True)
class Error:
    """How wrong predictions of held-out scripts are."""

    predictor: str
    n_edits: str  # which scripts: "2", "3-6" or "7+"
    n: int
    rmse: float  # sd
    rank: float  # Spearman's correlation


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fit: a value, small enough to be stored beside the table."""

    link: Link
    weights: tuple[float, ...]  # of the kernels
    own: float  # variance of what a script of several edits does beyond them
    residuals: tuple[tuple[Quantiles, ...], ...]  # of errors, noise apart: by LENGTHS and by EXPECTED
    errors: tuple[Error, ...]

    def residual(self, n_edits: int, expected: float, normal: float) -> float:
        """Return how far off a script is that is expected to gain so much, on the link's scale; drawn by a standard normal number."""
        return float(np.interp(normal, _NORMAL, self._quantiles(n_edits, expected)))

    def deviation(self, n_edits: int, expected: float) -> float:
        """Return how far off such scripts are, root mean square."""
        return float(np.sqrt(np.mean(np.square(self._quantiles(n_edits, expected)))))

    def _quantiles(self, n_edits: int, expected: float) -> Quantiles:
        return self.residuals[bisect_left(LENGTHS, n_edits)][int(_cell(self.link.unbend(np.array(expected))))]


def observe(
    metrics: Mapping[Script, Mapping[int, float]], addresses: Sequence[str], noise: Noise, *, sign: float
) -> Observed:
    """Turn script -> seed -> metric into what a surrogate is fitted to; the unedited target is what gains are taken over."""
    numbers = {address: number for number, address in enumerate(addresses)}
    measured = [(script, found) for script, found in metrics.items() if script and found]
    scripts, gains, variances = (
        np.zeros((len(measured), len(numbers))),
        np.zeros(len(measured)),
        np.zeros(len(measured)),
    )
    for row, (script, found) in enumerate(measured):
        scripts[row, [numbers[address] for address in script]] = 1.0
        quiet = [metric - noise.common(seed) for seed, metric in found.items()]
        gains[row] = max(sign * (float(np.mean(quiet)) - noise.baseline) / noise.sd, RUINED)
        variances[row] = max((noise.own_sd(gains[row]) / noise.sd) ** 2 / len(found), _LEAST_NOISE)
    return Observed(tuple(addresses), scripts, gains, variances, noise.most)


def fit_surrogate(observed: Observed, *, seed: int) -> tuple[Surrogate, Array]:
    """Fit to what was observed. Returns: the surrogate, and the weight (N,) that it gives each script."""
    some = observed.some(_sample(observed, _COMPARED, seed))
    links = sorted(_links(observed), key=lambda link: _criterion(_fit(some, link, _SAMPLE_OF_LINKS, seed)[0]))
    return _fit(observed, links[0], _SAMPLE, seed)


def likeness(observed: Observed, link: Link) -> Likeness:
    """Compare the edits of what was observed, by what they do alone as well."""
    return likeness_of(observed.addresses, _alone(observed, link))


def _links(observed: Observed) -> Iterator[Link]:
    best = max(1.0, float(observed.gains.max(initial=0.0)))
    yield Link()
    for knee in _KNEES:
        yield Link(knee)
        yield from (Link(knee, times * best) for times in _CEILINGS)


def _criterion(surrogate: Surrogate) -> float:
    """Weigh the errors of the groups by how many scripts they have; without any, every link is as good."""
    own = [error for error in surrogate.errors if error.predictor == "surrogate"]
    return sum(error.n * error.rmse**2 for error in own)


def _alone(observed: Observed, link: Link) -> Array:
    """Return what each edit does alone on the link's scale, (M,); 0 where that was not measured."""
    single = observed.n_edits == 1
    return np.asarray(observed.scripts[single].T @ link.bend(observed.gains[single]))


def _fit(observed: Observed, link: Link, n_sample: int, seed: int) -> tuple[Surrogate, Array]:
    alike, targets = likeness(observed, link), link.bend(observed.gains)
    noise = observed.variances * link.slope(observed.gains) ** 2
    several = (observed.n_edits > 1).astype(float)
    sample = _sample(observed, n_sample, seed)
    parts = covariances(alike, observed.scripts[sample], observed.scripts[sample])
    weights = _likeliest([*parts, np.diag(several[sample])], targets[sample], noise[sample])
    full = covariances(alike, observed.scripts, observed.scripts)
    total: Array = _weigh([*full, np.diag(several)], weights) + np.diag(noise)
    inverse = np.asarray(np.linalg.inv(total), np.float64)
    given = np.asarray(inverse @ targets, np.float64)
    found = Fold(observed, link, targets, noise)
    left_out = found.leave_out(inverse, given, seed)
    errors, residuals = tuple(found.errors(left_out)), found.residuals(left_out)
    return Surrogate(link, tuple(map(float, weights[:-1])), float(weights[-1]), residuals, errors), given


def _sample(observed: Observed, n: int, seed: int) -> list[int]:
    """Choose scripts of several edits and singles, as many of each as there is room for."""
    stream = open_stream(seed, "landscape/surrogate", 0)
    groups = [[int(i) for i in np.flatnonzero(mask)] for mask in (observed.n_edits > 1, observed.n_edits == 1)]
    for group in groups:
        stream.shuffle(group)
    chosen = groups[0][: max(n // 2, n - len(groups[1]))]
    return sorted([*chosen, *groups[1][: n - len(chosen)]])


def _weigh(parts: Sequence[Array], weights: Array) -> Array:
    return np.asarray(sum(weight * part for weight, part in zip(weights, parts, strict=True)))


def _likeliest(parts: Sequence[Array], targets: Array, noise: Array) -> Array:
    """Return the weights (C,) of the parts that make the targets (N,) likeliest: one weight at a time, in sweeps."""
    spread = float(np.mean(targets**2)) if len(targets) else 1.0
    scales = np.array([spread / max(float(np.mean(np.diag(part))), 1e-9) for part in parts])
    weights = scales / len(parts)
    for _ in range(_SWEEPS):
        for number in range(len(parts)):
            others = _weigh(parts, np.where(np.arange(len(parts)) == number, 0.0, weights)) + np.diag(noise)
            tried = max(weights[number], _LEAST_WEIGHT * scales[number]) * _GRID
            likelihoods = [_likelihood(others + weight * parts[number], targets) for weight in tried]
            weights[number] = tried[int(np.argmax(likelihoods))]
    return weights


def _likelihood(total: Array, targets: Array) -> float:
    """Return the log-likelihood up to a constant, from one factor: its last row is what the targets become."""
    bordered = np.block(
        [[total + 1e-8 * np.eye(len(total)), targets[:, None]], [targets[None], np.full((1, 1), _HUGE)]]
    )
    try:
        factor = np.linalg.cholesky(bordered)
    except np.linalg.LinAlgError:  # not positive up to rounding: no likely set of weights
        return -np.inf
    half = factor[-1, :-1]
    return -float(half @ half) / 2 - float(np.log(np.diag(factor)[:-1]).sum())


@dataclass(frozen=True, slots=True)
class Fold:
    """What the errors on held-out scripts are made of."""

    observed: Observed
    link: Link
    targets: Array
    noise: Array

    def leave_out(self, inverse: Array, given: Array, seed: int) -> Array:
        """Predict each script without its fold, singles each without itself. Returns: predictions (N,) on the link's scale."""
        left = given / np.diag(inverse)  # targets minus predictions
        several = [int(i) for i in np.flatnonzero(self.observed.n_edits > 1)]
        open_stream(seed, "landscape/folds", 0).shuffle(several)
        for number in range(min(FOLDS, len(several))):
            fold = several[number::FOLDS]
            left[fold] = np.linalg.solve(inverse[np.ix_(fold, fold)], given[fold])
        return np.minimum(self.targets - left, self.link.bend(np.array(self.observed.most)))

    def residuals(self, predicted: Array) -> tuple[tuple[Quantiles, ...], ...]:
        """Return how far predictions are off; where too few scripts say it, as with an edit less, or nearer to nothing."""
        left, n_edits, cells = self.targets - predicted, self.observed.n_edits, _cell(self.link.unbend(predicted))
        rows: list[tuple[Quantiles, ...]] = []
        for length in range(len(LENGTHS) + 1):
            group = np.searchsorted(LENGTHS, n_edits) == length
            row: list[Quantiles] = []
            for cell in range(len(EXPECTED) + 1):
                members = group & (cells == cell)
                if members.sum() >= _LEAST_HELD_OUT:
                    row.append(_quantiles(left[members], self.noise[members]))
                else:
                    row.append(
                        rows[-1][cell] if rows else row[-1] if row else _quantiles(left[group], self.noise[group])
                    )
            rows.append(tuple(row))
        return tuple(rows)

    def errors(self, predicted: Array) -> Iterator[Error]:
        """Compare the surrogate with predictors that anyone would try first."""
        n_edits = self.observed.n_edits
        additive = self.observed.scripts @ _alone(self.observed, self.link)
        predictors = {
            "surrogate": self.link.unbend(predicted),
            "additive": self.link.unbend(additive),
            "additive in the metric": self.observed.scripts @ _alone(self.observed, Link()),
            "unedited target": np.zeros(len(predicted)),
        }
        for name, group in (("2", n_edits == 2), ("3-6", (n_edits > 2) & (n_edits < 7)), ("7+", n_edits > 6)):
            if group.sum() >= _LEAST_HELD_OUT:
                for predictor, gains in predictors.items():
                    possible = np.minimum(gains[group], self.observed.most)
                    yield _error(predictor, name, possible, self.observed.gains[group])


def _cell(gains: Array) -> NDArray[np.intp]:
    """Return between which of EXPECTED gains are."""
    return np.searchsorted(EXPECTED, gains)


def _quantiles(left: Array, noise: Array) -> Quantiles:
    """Return quantiles of errors, drawn together by the share of noise in them."""
    if not len(left):
        return (0.0,) * len(_QUANTILES)
    share = max(0.0, 1.0 - float(noise.sum()) / max(float(np.sum(left**2)), _LEAST_NOISE))
    return tuple(map(float, np.quantile(left, _QUANTILES) * np.sqrt(share)))


def _error(predictor: str, n_edits: str, predicted: Array, measured: Array) -> Error:
    apart = np.maximum(predicted, WORST) - np.maximum(measured, WORST)
    constant = min(float(np.ptp(values)) for values in (predicted, measured)) == 0.0
    rank = 0.0 if constant else float(np.corrcoef(_ranks(predicted), _ranks(measured))[0, 1])
    return Error(predictor, n_edits, len(measured), float(np.sqrt(np.mean(apart**2))), rank)


def _ranks(values: Array) -> Array:
    """Rank values, equal ones alike."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[place])
