"""How alike two scripts are, as sets of edits: the covariances of a surrogate that says which effects and interactions they share.

Effects: two scripts share what edits have in common that are the same, at one site, in one unit, of one kind with a like choice, or just
edits. Interactions: two scripts share what *pairs* of edits have in common, in the same ways, and as products of what the edits do alone.
Both kinds are sums over edits and pairs, so a prediction comes down to a number per edit and one per pair of edits (`effects_of`).

Shapes: M edits, N scripts; a script is a row of zeros and ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mutator.edit import Edit, Scalar, parse_edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_OTHER_CHOICE = 0.5  # how alike two choices of one kind are that share no number: the kind alone


@dataclass(frozen=True, slots=True)
class Likeness:
    """The kernels of a set of edits, in the order of `names`."""

    of_edits: tuple[Array, ...]  # (M, M) each: the effects of two edits
    of_pairs: tuple[Array, ...]  # (M, M) each: whose products compare pairs

    @property
    def names(self) -> tuple[str, ...]:
        """Say what each weight belongs to."""
        return (*_OF_EDITS, *_OF_PAIRS)


_OF_EDITS = ("edit", "site", "unit", "kind", "any")
_OF_PAIRS = ("pair", "edit with kind", "edit with unit", "kinds", "gains", "losses")


def likeness_of(addresses: Sequence[str], alone: Array) -> Likeness:
    """Compare edits.

    alone: (M,) what each does alone, on the scale on which effects add; 0 where that is not known.
    """
    edits = [parse_edit(address) for address in addresses]
    same = np.eye(len(edits))
    site, unit = _equal([edit.site for edit in edits]), _equal([edit.site.partition("/")[0] for edit in edits])
    kind = _kinds(edits)
    size = np.sqrt(1.0 + np.abs(alone))
    scale = np.outer(size, size)  # edits that do nothing alone have little to interact with
    gains, losses = (np.sqrt(np.maximum(sign * alone, 0.0)) for sign in (1.0, -1.0))
    return Likeness(
        (same, site, unit, kind, np.ones_like(same)),
        (
            scale * same,
            scale * (same + kind) / 2,
            scale * (same + unit) / 2,
            scale * kind,
            np.outer(gains, gains),
            np.outer(losses, losses),
        ),
    )


def covariances(likeness: Likeness, left: Array, right: Array) -> list[Array]:
    """Return for each kernel the covariances (N, N') of scripts (N, M) and (N', M)."""
    own = [left @ kernel @ right.T for kernel in likeness.of_edits]
    return [*own, *(_of_pairs(kernel, left, right) for kernel in likeness.of_pairs)]


def effects_of(likeness: Likeness, weights: Array, scripts: Array, given: Array) -> tuple[Array, Array]:
    """Return the effect (M,) of each edit and the interaction (M, M) of each pair that a fit stands for.

    weights: of the kernels, (C,). given: the weight (N,) that the fit gives each of its scripts (N, M).
    """
    n_own = len(likeness.of_edits)
    counts = scripts.T @ given  # (M,)
    together = (scripts * given[:, None]).T @ scripts  # (M, M)
    np.fill_diagonal(together, 0.0)
    effects = sum(
        (weight * (kernel @ counts) for weight, kernel in zip(weights, likeness.of_edits, strict=False)),
        np.zeros(len(counts)),
    )
    pairs = sum(
        (
            weight * (kernel @ together @ kernel.T)
            for weight, kernel in zip(weights[n_own:], likeness.of_pairs, strict=True)
        ),
        np.zeros_like(together),
    )
    np.fill_diagonal(pairs, 0.0)
    return effects, pairs


def _of_pairs(kernel: Array, left: Array, right: Array) -> Array:
    """Sum over the pairs of both scripts: k(i, k) k(j, l) + k(i, l) k(j, k)."""
    ways = kernel @ right.T  # (M, N')
    total = left @ ways
    by_left = left @ (ways * ways)
    back = kernel.T @ left.T  # (M, N)
    by_right = (right @ (back * back)).T
    squares = left @ (kernel * kernel) @ right.T
    return np.asarray((total * total - by_left - by_right + squares) / 2)


def _equal(words: Sequence[str]) -> Array:
    numbers = np.unique(words, return_inverse=True)[1] if words else np.zeros(0)
    return np.asarray(numbers[:, None] == numbers, np.float64)


def _kinds(edits: Sequence[Edit]) -> Array:
    """Compare kinds and choices: 1 for one choice, less for numbers that are far apart, least for other words."""
    alike = np.zeros((len(edits), len(edits)))
    by_kind: dict[str, list[int]] = {}
    for number, edit in enumerate(edits):
        by_kind.setdefault(edit.kind, []).append(number)
    for members in by_kind.values():
        for i in members:
            for j in members:
                alike[i, j] = _choices(dict(edits[i].choice), dict(edits[j].choice))
    return alike


def _choices(one: dict[str, Scalar], other: dict[str, Scalar]) -> float:
    if one == other:
        return 1.0
    apart = 0.0
    for name in one.keys() | other.keys():
        a, b = one.get(name), other.get(name)
        if a == b:
            continue
        if isinstance(a, str | bool | None) or isinstance(b, str | bool | None) or not (a * b > 0):
            return _OTHER_CHOICE
        apart += abs(math.log(a / b))
    return _OTHER_CHOICE + (1.0 - _OTHER_CHOICE) * math.exp(-apart)
