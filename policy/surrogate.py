"""An exact Gaussian process over edits: what the trials so far say about the edits not tried yet.

It predicts the reward of an edit on the incumbent from the rewards of edits that resemble it in where they are and in what they
choose; and where a number grew to a loss, it expects a gain from shrinking it. After a dozen trials it already knows more than a
policy gradient can, so its belief is an input of the network and its log expected improvement a term of every logit.
All is float64: near-equal edits make badly conditioned matrices.

Source: Rasmussen and Williams 2006, algorithm 2.1 (prediction) and eq. 5.8 (marginal likelihood).
Not covered: gradients through the hyper-parameters; every fit takes the likeliest of a small grid.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

MAX_TRIALS = 512  # the newest ones; a fit is cubic in them
_N_SELECTING = 128  # the newest ones that choose the hyper-parameters
_PLACE_LENGTHS = (0.5, 1.0, 2.0, 4.0)  # squared distance at which the correlation of two edits has fallen to 1/e
_CHOICE_LENGTHS = (0.5, 2.0)
_NOISES = (0.1, 0.4, 1.0)  # variance, in units of the variance of the rewards
_SLOPE = 0.5  # share of the linear response to a number's magnitude, against 1 for everything else about a choice
_WORST_REWARD = -1.0  # how bad a bad edit was does not matter: a crash must not set the scale of the good ones


@dataclass(frozen=True, slots=True)
class Points:
    """N edits as the surrogate compares them; float64."""

    places: Tensor  # (N, P) where they are
    choices: Tensor  # (N, C) what they choose
    magnitudes: Tensor  # (N,) of the numbers that they choose, signed: above and below one; 0 where there is none

    def newest(self, n: int) -> Points:
        """Return the last n points."""
        return Points(self.places[-n:], self.choices[-n:], self.magnitudes[-n:])


@dataclass(frozen=True, slots=True)
class Belief:
    """What the surrogate thinks of M edits, in units of the reward; all (M,) float64."""

    mean: Tensor
    deviation: Tensor  # of the mean, without the noise of a run
    log_improvement: Tensor  # log E[max(0, reward)]: over an edit that changes nothing


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted process: a value."""

    points: Points  # N edits that were tried
    lengths: tuple[Tensor, Tensor]  # of places and of choices, scalars
    cholesky: Tensor  # (N, N), lower, of the kernel matrix with noise
    weights: Tensor  # (N,) the inverse of the kernel matrix times the standardised rewards
    centre: float
    scale: float

    def predict(self, points: Points) -> Belief:
        """Return the belief about M edits."""
        kernel = _correlate(points, self.points, *self.lengths)  # (M, N)
        explained = torch.linalg.solve_triangular(self.cholesky, kernel.T, upper=False).square().sum(0)  # (M,)
        mean = self.centre + self.scale * (kernel @ self.weights)
        deviation = self.scale * (1.0 - explained).clamp(min=1e-6).sqrt()
        return Belief(mean, deviation, log_expected_improvement(mean, deviation))


def fit_surrogate(points: Points, rewards: Tensor) -> Surrogate:
    """Fit the process to N tried points, oldest first, with their rewards (N,) float64; N may be zero."""
    points, rewards = points.newest(MAX_TRIALS), rewards[-MAX_TRIALS:].clamp(min=_WORST_REWARD)
    # One pseudo-trial with a reward of 0 and a variance of 1: the first rewards move the prior, they do not replace it.
    centre = float(rewards.sum()) / (len(rewards) + 1)
    scale = math.sqrt((float((rewards - centre).square().sum()) + 1.0) / (len(rewards) + 1))
    targets = (rewards - centre) / scale
    grid = torch.tensor(list(itertools.product(_PLACE_LENGTHS, _CHOICE_LENGTHS, _NOISES)), dtype=torch.float64)
    likelihoods, _, _ = _factorise(points.newest(_N_SELECTING), targets[-_N_SELECTING:], grid)
    best = grid[likelihoods.argmax()]
    _, cholesky, weights = _factorise(points, targets, best[None])
    return Surrogate(points, (best[0], best[1]), cholesky[0], weights[0], centre, scale)


def log_expected_improvement(mean: Tensor, deviation: Tensor) -> Tensor:
    """Return log E[max(0, X)] for X ~ N(mean, deviation^2), accurate where the improvement is tiny.

    Below eight deviations it stays what it is at eight: no edit is beyond hope.
    Source: Ament et al. 2023 (arXiv:2310.20708), eq. 9, with Mills' ratio by erfcx.
    """
    z = (mean / deviation).clamp(-8.0, 30.0)
    mills = math.sqrt(math.pi / 2) * torch.special.erfcx(-z / math.sqrt(2))
    return deviation.log() - z.square() / 2 - math.log(math.sqrt(2 * math.pi)) + torch.log1p(z * mills)


def _factorise(points: Points, targets: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-likelihoods (G,), Cholesky factors (G, N, N) and weights (G, N) for each (lengths, noise) of the grid (G, 3)."""
    place, choice, noise = grid.T[:, :, None, None]  # (G, 1, 1) each
    kernels = _correlate(points, points, place, choice) + noise * torch.eye(len(targets), dtype=torch.float64)
    factors = torch.linalg.cholesky(kernels)
    weights = torch.cholesky_solve(targets.expand(len(grid), -1)[..., None], factors)[..., 0]
    likelihoods = -(weights @ targets) / 2 - factors.diagonal(dim1=1, dim2=2).log().sum(1)
    return likelihoods, factors, weights


def _correlate(left: Points, right: Points, place: Tensor, choice: Tensor) -> Tensor:
    """Return the correlations (M, N) of two sets of edits, or (G, M, N) for lengths (G, 1, 1); 1 for an edit with itself."""
    near = torch.exp(-_squared_distances(left.places, right.places) / place)
    alike = torch.exp(-_squared_distances(left.choices, right.choices) / choice)
    slope = _SLOPE * left.magnitudes[:, None] * right.magnitudes
    sizes = [(1 + _SLOPE * points.magnitudes.square()).sqrt() for points in (left, right)]
    return near * (alike + slope) / (sizes[0][:, None] * sizes[1])


def _squared_distances(left: Tensor, right: Tensor) -> Tensor:
    squares = left.square().sum(1)[:, None] + right.square().sum(1) - 2 * left @ right.T
    return squares.clamp(min=0.0)
