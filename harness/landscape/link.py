"""The scale on which effects of edits add up.

Gains in standard deviations do not add: a program that is ruined cannot be ruined twice, and what two edits save is not there twice.
A link maps gains to a scale where they nearly do: logarithmic below zero beyond a knee, and towards a ceiling above it, like the
logarithm of the ratio of two losses. Which link holds is decided by held-out error, see harness.landscape.surrogate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Link:
    """A smooth rising map with slope one at zero; units: standard deviations of the unedited target."""

    knee: float = math.inf  # losses far beyond it count by their logarithm
    ceiling: float = math.inf  # no gain reaches it

    def bend(self, gains: Array) -> Array:
        """Map gains to the scale on which they add; what is at the ceiling or above is put just below it."""
        below, above = np.minimum(gains, 0.0), np.clip(gains, 0.0, 0.999 * self.ceiling)
        worse = below if math.isinf(self.knee) else -self.knee * np.log1p(-below / self.knee)
        better = above if math.isinf(self.ceiling) else -self.ceiling * np.log1p(-above / self.ceiling)
        return np.asarray(worse + better)

    def unbend(self, bent: Array) -> Array:
        """Map back to gains."""
        below, above = np.minimum(bent, 0.0), np.maximum(bent, 0.0)
        worse = below if math.isinf(self.knee) else -self.knee * np.expm1(np.minimum(-below / self.knee, 50.0))
        better = above if math.isinf(self.ceiling) else -self.ceiling * np.expm1(-above / self.ceiling)
        return np.asarray(worse + better)

    def slope(self, gains: Array) -> Array:
        """Return the derivative of `bend`, which noise is multiplied by."""
        worse = 1.0 if math.isinf(self.knee) else 1.0 / (1.0 - np.minimum(gains, 0.0) / self.knee)
        capped = np.clip(gains, 0.0, 0.999 * self.ceiling)
        better = 1.0 if math.isinf(self.ceiling) else 1.0 / (1.0 - capped / self.ceiling)
        return np.asarray(worse * better * np.ones_like(gains))
