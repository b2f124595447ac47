"""How alike the effects of edits are before any trial: by what two edits share, and by the programs that they are made on.

Source: Duvenaud et al. 2011 (arXiv:1112.4394) for sums of kernels; Krause and Ong 2011 (Contextual Gaussian process bandit optimization)
for the product with one over contexts, which programs are here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from policy.traits import Floats, Ints, Traits

VARIANCES = (
    *("any", "kind", "site", "unit", "place", "content", "kind_content", "edit"),
    *("number", "slope", "bow", "any_bow"),
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Variances of bent effects, by what edits share. The means are those of an edit about which nothing is known.

    The values are those with which good edits of synthetic tasks are found soon (python -m bench.tune_kernel). Such tasks cannot tell
    `noise`, `carry` and `fade`: docs/policy.md, section 8.
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
    noise: float = 0.05  # of a step beside that of its runs: what its edits do together, which stays with the program
    carry: float = 0.5  # correlation of an edit's effects on two programs that have little in common
    fade: float = 4.0  # edits by which two programs differ, at which the rest of the correlation has fallen to 1/e
    trust: float = 0.3  # of how much a promise is worth, which is one unit of effect per unit at first
    mean: float = -0.65
    mean_bow: float = -0.35  # per squared doubling

    @property
    def is_sound(self) -> bool:
        """Whether it gives covariances: no variance is negative, distances are positive, and a correlation is one."""
        variances = (getattr(self, name) for name in (*VARIANCES, "noise", "trust"))
        return min(variances) >= 0 and self.length > 0 and self.fade > 0 and 0 <= self.carry <= 1

    def shrink(self, share: float) -> Kernel:
        """Return the kernel of effects of which a prior leaves this share of the variances open."""
        return replace(self, **{name: share * getattr(self, name) for name in VARIANCES})

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
        curves = self.slope * (x * y) * (place + near / 2) + (self.bow * place + self.any_bow) * (x * y) ** 2
        curves += self.number * edit
        are_numbers = [~np.isnan(traits.doublings) for traits in (one, other)]
        both = are_numbers[0][:, None] & are_numbers[1]
        neither = ~are_numbers[0][:, None] & ~are_numbers[1]
        found: Floats = np.where(both, curves, np.where(neither, words, 0.0))
        return found + self.trust * (self.promised(one)[:, None] * self.promised(other))

    def liken(self, apart: Floats) -> Floats:
        """Return how far effects carry over between programs so many edits apart: correlations, of the same shape."""
        return self.carry + (1 - self.carry) * np.exp(-apart / self.fade)

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


def _equal(one: Ints, other: Ints) -> Floats:
    return np.asarray(one[:, None] == other, np.float64)


def _squared_distances(left: Floats, right: Floats) -> Floats:
    # Not by @: what BLAS rounds depends on the shapes, and a campaign that goes on computes the same in other pieces.
    squares: Floats = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * np.einsum("ij,kj->ik", left, right)
    return np.maximum(squares, 0.0)
