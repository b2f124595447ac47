"""What edits are worth, by an exact Gaussian process: a step gains the sum of what its edits gain on the program that it starts from.

Two edits are expected to do alike where they share kind, site, unit, content; the choices of one number are points of one curve, low on
both sides; what other targets say of them (policy.prior) is trusted as far as the trials bear it out (policy.kernel). On another program
an edit is expected to do less alike, the more edits the two are apart. A trial tells the sum of the effects of its script, so that
scripts of several edits teach as much as single ones.

Gains are in standard deviations of the unedited target, and bent: one edit of a hundred does not set the scale of all others, and what is
ruined is ruined, however much.

Source: Rasmussen and Williams 2006, algorithm 2.1 and eq. 5.8.
Not covered: which edits interact. What the edits of one step do together counts as noise.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from policy.lineage import UNEDITED, apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.kernel import Kernel
    from policy.lineage import Key
    from policy.traits import Floats, Traits

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
_LEAST_VARIANCE = 1e-9
_ROOT_2PI = math.sqrt(2 * math.pi)
_FAR = -6.0  # deviations below which the tail is computed by its series


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of M edits on one program, in bent standard deviations; all (M,)."""

    mean: Floats
    deviation: Floats


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
        self._programs: list[Key] = []
        self._shared: dict[Kernel, Floats] = {}  # (U, U) covariances of their effects, as of the last fit with each

    def __len__(self) -> int:
        return len(self._gains)

    def add(
        self, script: Traits, effect: float, variances: Variances, runs: Runs = (), program: Key = UNEDITED
    ) -> None:
        """Take note of what the effects of a script's edits on a program were measured to add up to.

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
        self._programs.append(program)

    def fit(self, kernel: Kernel) -> Effects:
        """Fit the process to the newest trials."""
        if self._traits is None:
            return Effects(kernel, None, np.zeros((0, 0)), (), np.zeros((0, 0)), np.zeros(0), 1.0, np.zeros(0))
        every, newest = self._made_of(self._traits), slice(-MAX_TRIALS, None)
        expected, made_of, programs = every @ kernel.expect(self._traits), every[newest], self._programs[newest]
        shared = every @ self._covary(kernel, self._traits) @ made_of.T * kernel.liken(apart(self._programs, programs))
        noises = self._noises(len(made_of)) + kernel.noise * np.eye(len(made_of))
        left = np.array(self._gains[newest]) - expected[newest]
        scale, share, root, weights = _likeliest(shared[newest], noises, left)
        surprise = root.T @ weights
        steps = expected + scale * shared @ surprise
        steps[newest] += share * kernel.noise * surprise
        return Effects(kernel, self._traits, made_of, tuple(programs), root, weights, scale, steps)

    def _made_of(self, traits: Traits) -> Floats:
        """Return which of the edits each trial tried: (N, U) zeros and ones."""
        found = np.zeros((len(self), len(traits)))
        for row, script in enumerate(self._scripts):
            found[row, list(script)] = 1.0
        return found

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
    programs: tuple[Key, ...]  # (N,) that the trials edited
    root: Floats  # (N, N) the inverse of the Cholesky factor of the trials' covariances with noise
    weights: Floats  # (N,) root times what is left of the gains without the mean
    scale: float
    steps: Floats  # what each script of the experience is believed to have gained: its edits, and what they do together

    def believe(self, traits: Traits, program: Key = UNEDITED, known: Floats | None = None) -> Belief:
        """Return the belief about edits of a program; the kernel's covariances of what was tried with them, (U, M), may be known."""
        explained = self._explain(traits, program, known)
        variance = self.scale * self.kernel.vary(traits) - (explained**2).sum(0)
        mean = self.kernel.expect(traits) + explained.T @ self.weights
        return Belief(mean, np.sqrt(np.maximum(variance, _LEAST_VARIANCE)))

    def foresee(self, traits: Traits, program: Key = UNEDITED) -> Joint:
        """Return the belief about edits of a program together."""
        explained = self._explain(traits, program)
        covariance = self.scale * self.kernel.covary(traits, traits) - explained.T @ explained
        return Joint(self.kernel.expect(traits) + explained.T @ self.weights, covariance)

    def awaiting(self, script: Traits, program: Key = UNEDITED) -> Effects:
        """Return the belief while a script on a program is under way: as sure as if it had measured what is expected of it, and no other.

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
        explained = self._explain(script, program).sum(1)
        own = self.scale * self.kernel.covary(script, script).sum() + _AWAITED + self.kernel.noise
        left = math.sqrt(own - explained @ explained)
        root = np.zeros((n + 1, n + 1))
        root[:n, :n], root[n, :n], root[n, n] = self.root, -(explained @ self.root) / left, 1 / left
        programs, weights = (*self.programs, program), np.append(self.weights, 0.0)
        return Effects(self.kernel, tried, made_of, programs, root, weights, self.scale, self.steps)

    def _explain(self, traits: Traits, program: Key, known: Floats | None = None) -> Floats:
        """Return (N, M): what the trials say about each edit of a program."""
        if self.tried is None:
            return np.zeros((0, len(traits)))
        shared = self.kernel.covary(self.tried, traits) if known is None else known
        alike = self.kernel.liken(apart(self.programs, [program]))
        return np.asarray(self.scale * self.root @ (self.made_of @ shared * alike))


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
