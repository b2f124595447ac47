"""What other targets say about edits of a target that was never seen: a Gaussian process over what edits are, not where they are.

It is fitted once, to measured effects of other targets' edits, less what is expected of any edit; a campaign takes its mean as a promise
(policy.traits) and learns from its own trials how far to trust it. Likeness is that of kinds, of what the site is and is wired to, of
choices, and of how far a number is moved; slots and names do not enter.

Source: Rasmussen and Williams 2006, algorithm 2.1; transfer by a mean from other tasks, Golovin et al. 2017 (Google Vizier), section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from policy.content import CHOICE_WIDTH, CODE_WIDTH

if TYPE_CHECKING:
    from policy.content import Rows
    from policy.traits import Floats, Ints, Traits

_KIND, _SITE, _KIND_SITE, _KIND_CHOICE, _KIND_SITE_CHOICE = 0.4, 0.1, 0.3, 0.3, 0.3  # variances of bent effects
_SITE_LENGTH, _CHOICE_LENGTH = 0.5, 0.6  # squared distances at which likeness has fallen to 1/e
_SLOPE, _BOW = 0.1, 0.05  # of a number's effect, per doubling and per squared doubling
_ANYWHERE = 0.5  # share of these that all numbers have in common
NOISE = 1.0  # variance of what one target says about another
COST_NOISE = 0.3  # likewise, of doublings of cost, on the scale of the variances above


@dataclass(frozen=True, slots=True)
class Points:
    """N edits as they are compared across targets."""

    kinds: Ints  # (N,) digests
    sites: Rows  # (N, S) contents
    choices: Rows  # (N, C)
    doublings: Floats  # (N,), NaN where an edit sets no number

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, slots=True)
class Prior:
    """A fitted process."""

    points: Points
    weights: Floats  # (N, 2): of gains, of costs

    def promise(self, traits: Traits) -> tuple[Floats, Floats]:
        """Return by how much bent gains of edits are expected to differ from those of any edit, and their doublings of cost: (M,) each."""
        said = np.asarray(_covary(locate(traits), self.points) @ self.weights, np.float64)
        return said[:, 0], said[:, 1]


def locate(traits: Traits) -> Points:
    """Return edits as points. Contents are float32: there are thousands of points, and they are compared all with all."""
    content = traits.content.astype(np.float32)
    return Points(traits.kinds, content[:, CODE_WIDTH:-CHOICE_WIDTH], content[:, -CHOICE_WIDTH:], traits.doublings)


def fit_prior(traits: Traits, excess: Floats, noise: Floats, doublings: Floats | None = None) -> Prior:
    """Fit the process to bent gains of edits less what is expected of any edit, with their variances, and to doublings of cost; all (N,).

    Of an edit whose doublings are NaN, as of all where there are none, nothing is known of the cost.
    """
    points, n = locate(traits), len(traits)
    doublings = np.full(n, np.nan) if doublings is None else doublings
    seen, likeness = ~np.isnan(doublings), _covary(points, points)
    weights = np.zeros((n, 2))
    weights[:, 0] = np.linalg.solve(likeness + np.diag(noise), excess)
    weights[seen, 1] = np.linalg.solve(likeness[np.ix_(seen, seen)] + COST_NOISE * np.eye(seen.sum()), doublings[seen])
    return Prior(points, weights)


def _covary(one: Points, other: Points) -> Floats:
    kind = (one.kinds[:, None] == other.kinds).astype(np.float32)
    site, choice = _near(one.sites, other.sites, _SITE_LENGTH), _near(one.choices, other.choices, _CHOICE_LENGTH)
    same = _KIND + _KIND_SITE * site + (_KIND_CHOICE + _KIND_SITE_CHOICE * site) * choice
    set_numbers = [~np.isnan(points.doublings) for points in (one, other)]
    moved = np.nan_to_num(one.doublings)[:, None] * np.nan_to_num(other.doublings)
    curves = (_SLOPE * moved + _BOW * moved**2) * (_ANYWHERE + site)
    found: Floats = (set_numbers[0][:, None] == set_numbers[1]) * (_SITE * site + kind * same + curves)
    return found


def _near(one: Rows, other: Rows, length: float) -> Rows:
    squares: Rows = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.exp(np.maximum(squares, 0.0) / -length)
