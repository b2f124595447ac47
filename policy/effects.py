"""What edits are worth, by an exact Gaussian process: a program gains the sum of what its edits gain.

Two edits are expected to do alike where they share kind, site, unit, content; the choices of one number are points of one curve, low on
both sides; what other targets say of them (policy.prior) is trusted as far as the trials bear it out. A trial tells the sum of the
effects of its script, so that scripts of several edits teach as much as single ones.

Gains are in standard deviations of the unedited target, and bent: one edit of a hundred does not set the scale of all others, and what is
ruined is ruined, however much.

Source: Rasmussen and Williams 2006, algorithm 2.1 and eq. 5.8; Duvenaud et al. 2011 (arXiv:1112.4394) for sums of kernels.
Not covered: interactions of edits, which count as noise.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.traits import Floats, Ints, Traits

    # Of a measurement (2,): where noise does not grow with the distance from the unedited target, and where it does.
    Variances = Sequence[float] | Floats
    # Programs whose runs disturb a gain, each with the deviation (2,) of the gain that one of theirs causes, likewise.
    Runs = Sequence[tuple[int, Floats]]

MAX_TRIALS = 512  # the newest ones; a fit is cubic in them
_SCALES = (0.5, 1.0, 2.0, 4.0)  # of all effects
_NOISES = (0.5, 1.0, 2.0)  # of all measurements
FAILED_GAIN = -2.0  # the bent gain that a failure counts as
_FAILED_VARIANCES = (0.05, 0.05)
_AWAITED = 1.0  # variance of a run that has not ended
_STOPPED = (-1.0, (1.0, 1.0))  # bent gain and variances of a run that was stopped early
_OWN = 0.5  # share of the variance between seeds that is a program's own
_FARTHEST = 40.0  # sd
_KNEE = 3.0  # sd: gains beyond it count by their logarithm, and no loss counts more
_VARIANCES = (
    "any",
    "kind",
    "site",
    "unit",
    "place",
    "content",
    "kind_content",
    "edit",
    "number",
    "slope",
    "bow",
    "any_bow",
)
_LEAST_VARIANCE = 1e-9
_ROOT_2PI = math.sqrt(2 * math.pi)
_FAR = -6.0  # deviations below which the tail is computed by its series


@dataclass(frozen=True, slots=True)
class Kernel:
    """Variances of bent effects, by what edits share. The means are those of an edit about which nothing is known.

    The values are those with which good edits of synthetic tasks are found soon (python -m bench.tune_kernel).
    """

    any: float = 0.05
    kind: float = 0.7
    site: float = 0.1
    unit: float = 0.03
    place: float = 0.65  # a kind at a site
    content: float = 0.2
    kind_content: float = 0.4
    edit: float = 0.1
    number: float = 0.25  # as edit, of a point on a curve
    slope: float = 0.045  # per doubling, squared
    bow: float = 0.01
    any_bow: float = 0.04
    length: float = 0.4  # squared distance of contents at which likeness has fallen to 1/e
    noise: float = 0.15  # of a step beside that of its runs: what its edits do together, which stays with the program
    trust: float = 0.3  # of how much a promise is worth, which is one unit of effect per unit at first
    mean: float = -0.65
    mean_bow: float = -0.35  # per squared doubling

    def shrink(self, share: float) -> Kernel:
        """Return the kernel of effects of which a prior leaves this share of the variances open."""
        return replace(self, **{name: share * getattr(self, name) for name in _VARIANCES})

    def promised(self, traits: Traits) -> Floats:
        """Return what other targets say of the effects: (M,)."""
        return traits.promise

    def expect(self, traits: Traits) -> Floats:
        """Return the mean effect of each edit before any trial: (M,)."""
        return self.expect_unpromised(traits) + self.promised(traits)

    def expect_unpromised(self, traits: Traits) -> Floats:
        """Return the mean effect of each edit where no other target says anything: (M,)."""
        return np.where(np.isnan(traits.doublings), self.mean, self.mean_bow * np.nan_to_num(traits.doublings) ** 2)

    def covary(self, one: Traits, other: Traits) -> Floats:
        """Return the covariances (M, N) of the effects of two lists of edits."""
        kind, site = _equal(one.kinds, other.kinds), _equal(one.sites, other.sites)
        near = np.exp(-_squared_distances(one.content, other.content) / self.length)
        place, edit = kind * site, _equal(one.edits, other.edits)
        words = self.any + self.kind * kind + self.site * site + self.unit * _equal(one.units, other.units)
        words += self.place * place + (self.content + self.kind_content * kind) * near + self.edit * edit
        x, y = np.nan_to_num(one.doublings)[:, None], np.nan_to_num(other.doublings)
        curves = self.slope * x * y * (place + near / 2) + (self.bow * place + self.any_bow) * (x * y) ** 2
        curves += self.number * edit
        are_numbers = [~np.isnan(traits.doublings) for traits in (one, other)]
        both = are_numbers[0][:, None] & are_numbers[1]
        neither = ~are_numbers[0][:, None] & ~are_numbers[1]
        found: Floats = np.where(both, curves, np.where(neither, words, 0.0))
        return found + self.trust * self.promised(one)[:, None] * self.promised(other)

    def vary(self, traits: Traits) -> Floats:
        """Return the variances of the effects: (M,)."""
        words = self.any + self.kind + self.site + self.unit + self.place + self.content + self.kind_content + self.edit
        squares = np.nan_to_num(traits.doublings) ** 2
        curves = 1.5 * self.slope * squares + (self.bow + self.any_bow) * squares**2 + self.number
        return np.where(np.isnan(traits.doublings), words, curves) + self.trust * self.promised(traits) ** 2


class Deaf:
    """What makes a kernel listen to no other target."""

    __slots__ = ()

    def promised(self, traits: Traits) -> Floats:
        """Return that nothing is said: (M,)."""
        return np.zeros(len(traits))


class Unpromised(Deaf, Kernel):
    """The kernel of a campaign that knows of no other target."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of M edits on one program, in bent standard deviations; all (M,)."""

    mean: Floats
    deviation: Floats

    @property
    def log_improvement(self) -> Floats:
        """Return log E[max(0, effect)]."""
        return log_expected_improvement(self.mean, self.deviation)


@dataclass(frozen=True, slots=True)
class Joint:
    """What is believed of M effects that add up."""

    mean: Floats  # (M,)
    covariance: Floats  # (M, M)

    def join(self, chosen: Sequence[int], others: Sequence[int]) -> tuple[Floats, Floats]:
        """Return means and variances of the sum of what is chosen and each of the others: (len(others),) each."""
        chosen, others = list(chosen), list(others)
        within, across = self.covariance[np.ix_(chosen, chosen)], self.covariance[np.ix_(others, chosen)]
        variance = within.sum() + np.diag(self.covariance)[others] + 2 * across.sum(1)
        return self.mean[chosen].sum() + self.mean[others], np.maximum(variance, _LEAST_VARIANCE)


class Experience:
    """What trials measured of the edits that they tried. Grows by one trial at a time."""

    def __init__(self) -> None:
        self._traits: Traits | None = None  # of U edits
        self._columns: dict[int, int] = {}
        self._scripts: list[tuple[int, ...]] = []  # columns
        self._gains: list[float] = []
        self._variances: list[Variances] = []
        self._runs: list[Runs] = []
        self._shared: dict[Kernel, Floats] = {}  # (U, U) covariances of their effects, as of the last fit with each

    def __len__(self) -> int:
        return len(self._gains)

    def add(self, script: Traits, effect: float, variances: Variances, runs: Runs = ()) -> None:
        """Take note of what the effects of a script's edits were measured to add up to.

        The variances are of what no other trial shares; the runs of a program disturb all trials that end or begin at it.
        """
        columns = tuple(self._columns.setdefault(int(edit), len(self._columns)) for edit in script.edits)
        new = [
            row for row, column in enumerate(columns) if column >= (0 if self._traits is None else len(self._traits))
        ]
        if new:
            self._traits = script[new] if self._traits is None else self._traits.join(script[new])
        self._scripts.append(columns)
        self._gains.append(effect)
        self._variances.append(variances)
        self._runs.append(runs)

    def fit(self, kernel: Kernel) -> Effects:
        """Fit the process to the newest trials."""
        if self._traits is None:
            return Effects(kernel, None, np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0), 1.0, np.zeros(0))
        traits = self._traits
        every = np.zeros((len(self), len(traits)))
        for row, script in enumerate(self._scripts):
            every[row, list(script)] = 1.0
        made_of, expected, covariances = every[-MAX_TRIALS:], kernel.expect(traits), self._covary(kernel, traits)
        left = np.array(self._gains[-MAX_TRIALS:]) - made_of @ expected
        noises = self._noises(len(made_of)) + kernel.noise * np.eye(len(made_of))
        scale, share, root, weights = _likeliest(made_of @ covariances @ made_of.T, noises, left)
        surprise = root.T @ weights
        steps = every @ (expected + scale * covariances @ (made_of.T @ surprise))
        steps[-MAX_TRIALS:] += share * kernel.noise * surprise
        return Effects(kernel, traits, made_of, root, weights, scale, steps)

    def _noises(self, n: int) -> Floats:
        """Return the covariances (2, n, n) of what disturbs the newest trials."""
        recent = self._runs[-n:]
        columns = {program: i for i, program in enumerate(dict.fromkeys(each for runs in recent for each, _ in runs))}
        disturbed = np.zeros((2, n, len(columns)))
        for row, runs in enumerate(recent):
            for program, deviations in runs:
                disturbed[:, row, columns[program]] = deviations
        own = np.array(self._variances[-n:]).T
        return disturbed @ disturbed.transpose(0, 2, 1) + own[:, :, None] * np.eye(n)

    def _covary(self, kernel: Kernel, traits: Traits) -> Floats:
        """Return the covariances of the edits that were tried; only those of new ones are computed."""
        before = self._shared.get(kernel, np.zeros((0, 0)))
        known = len(before)
        across = kernel.covary(traits[range(known, len(traits))], traits)
        self._shared[kernel] = np.block([[before, across[:, :known].T], [across]])
        return self._shared[kernel]


@dataclass(frozen=True, slots=True)
class Effects:
    """A fitted process. N trials of U edits."""

    kernel: Kernel
    tried: Traits | None  # (U,)
    made_of: Floats  # (N, U) zeros and ones
    root: Floats  # (N, N) the inverse of the Cholesky factor of the trials' covariances with noise
    weights: Floats  # (N,) root times what is left of the gains without the mean
    scale: float
    steps: Floats  # what each script of the experience is believed to have gained: its edits, and what they do together

    def believe(self, traits: Traits, known: Floats | None = None) -> Belief:
        """Return the belief about edits; the kernel's covariances of what was tried with them, (U, M), may be known."""
        explained = self._explain(traits, known)
        variance = self.scale * self.kernel.vary(traits) - (explained**2).sum(0)
        mean = self.kernel.expect(traits) + explained.T @ self.weights
        return Belief(mean, np.sqrt(np.maximum(variance, _LEAST_VARIANCE)))

    def foresee(self, traits: Traits) -> Joint:
        """Return the belief about edits together."""
        explained = self._explain(traits)
        covariance = self.scale * self.kernel.covary(traits, traits) - explained.T @ explained
        return Joint(self.kernel.expect(traits) + explained.T @ self.weights, covariance)

    def awaiting(self, script: Traits) -> Effects:
        """Return the belief while a script is under way: as sure as if it had measured what is expected of it, and no other.

        Source: Ginsbourger et al. 2010 (Kriging is well-suited to parallelize optimization), the Kriging believer.
        """
        tried, n = self.tried, len(self.made_of)
        columns = {} if tried is None else {int(edit): column for column, edit in enumerate(tried.edits)}
        new = [row for row, edit in enumerate(script.edits) if int(edit) not in columns]
        if new:
            columns |= {int(script.edits[row]): len(columns) + i for i, row in enumerate(new)}
            tried = script[new] if tried is None else tried.join(script[new])
        made_of = np.zeros((n + 1, len(columns)))
        made_of[:n, : self.made_of.shape[1]] = self.made_of
        made_of[n, [columns[int(edit)] for edit in script.edits]] = 1.0
        explained = self._explain(script).sum(1)
        own = self.scale * self.kernel.covary(script, script).sum() + _AWAITED + self.kernel.noise
        left = math.sqrt(own - explained @ explained)
        root = np.zeros((n + 1, n + 1))
        root[:n, :n], root[n, :n], root[n, n] = self.root, -(explained @ self.root) / left, 1 / left
        return Effects(self.kernel, tried, made_of, root, np.append(self.weights, 0.0), self.scale, self.steps)

    def _explain(self, traits: Traits, known: Floats | None = None) -> Floats:
        """Return (N, M): what the trials say about each edit."""
        if self.tried is None:
            return np.zeros((0, len(traits)))
        shared = self.kernel.covary(self.tried, traits) if known is None else known
        return np.asarray(self.scale * self.root @ (self.made_of @ shared))


def read_gain(gain: float, variances: Variances | None) -> tuple[float, Variances]:
    """Return the bent gain that a trial tells, and its variances; NaN is a failure, no variances a run that was stopped."""
    if variances is None:
        return _STOPPED
    flat, grown = (slope(gain) ** 2 * each for each in variances)
    return (FAILED_GAIN, _FAILED_VARIANCES) if math.isnan(gain) else (bend(gain), (flat, grown))


def vary_runs(lead: float) -> Floats:
    """Return variances (2,) of one run of a program that leads by so many sd, without what all programs on its seed share; sd squared.

    One is a share of the unedited target's; the other grows with the distance from it, as in three of the four landscapes that were
    measured (docs/landscapes.md): by a power of 1.1 to 1.5 of 1 + |lead|, from an eighth to three fifths of the target's variance.
    """
    return _OWN * np.array((1.0, 1 + min(abs(lead), _FARTHEST)))


def bend(gain: float) -> float:
    """Map a gain in standard deviations to the scale on which effects are believed to add up."""
    return _KNEE * math.asinh(gain / _KNEE) if gain > 0 else gain / (1 - gain / _KNEE)


def slope(gain: float) -> float:
    """Return the derivative of `bend`, which the noise of a gain is multiplied by."""
    return 1 / math.hypot(1.0, gain / _KNEE) if gain > 0 else (1 / (1 - gain / _KNEE)) ** 2


def log_expected_improvement(mean: Floats, deviation: Floats) -> Floats:
    """Return log E[max(0, X)] for X ~ N(mean, deviation^2), accurate where the improvement is tiny.

    Source: Ament et al. 2023 (arXiv:2310.20708), eq. 9; far below, the first two terms of the tail's series.
    """
    z = np.maximum(mean / deviation, -30.0)
    log_density = -(z**2) / 2 - math.log(_ROOT_2PI)
    near = np.log(np.maximum(z * cumulate(z) + np.exp(log_density), 1e-300))
    far = log_density - 2 * np.log(np.maximum(np.abs(z), 1.0)) + np.log1p(-3 / np.maximum(z**2, 4.0))
    return np.asarray(np.log(deviation) + np.where(z > _FAR, near, far))


def cumulate(z: Floats) -> Floats:
    """Return the chance that a standard normal number is no larger: the shape of z."""
    return np.array([math.erfc(-each / math.sqrt(2)) / 2 for each in z.ravel()]).reshape(z.shape)


def _likeliest(shared: Floats, noises: Floats, left: Floats) -> tuple[float, float, Floats, Floats]:
    """Return the scale, and the share of one of the noises, that make the gains likeliest, with the root and the weights that they give.

    Either noise is flat, or it grows with the distance from the unedited target.
    """
    best, found = -math.inf, (1.0, 1.0, shared, left)
    rows = (1, 0) if np.any(noises[0] != noises[1]) else (1,)
    for scale, share, grows in itertools.product(_SCALES, _NOISES, rows):
        root = np.linalg.inv(np.linalg.cholesky(scale * shared + share * noises[grows]))
        weights = root @ left
        likelihood = float(np.log(np.diag(root)).sum() - weights @ weights / 2)
        if likelihood > best:
            best, found = likelihood, (scale, share, root, weights)
    return found


def _equal(one: Ints, other: Ints) -> Floats:
    return np.asarray(one[:, None] == other, np.float64)


def _squared_distances(left: Floats, right: Floats) -> Floats:
    squares: Floats = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    return np.maximum(squares, 0.0)
