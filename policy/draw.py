"""Counter-based randomness: what a policy draws for a trial depends on the campaign's seed and the trial's number, on nothing else.

So a policy that recovers from a ledger draws what the uninterrupted one drew, and no draw disturbs another.
"""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SMALLEST = 1e-300  # keeps the logarithm of a draw finite


def open_stream(seed: int, purpose: str, number: int) -> Random:
    """Return the random stream of one purpose at one trial; equal arguments give equal streams in every process."""
    return Random(f"{seed}/{purpose}/{number}")


def draw_without_replacement(log_weights: Sequence[float], n: int, stream: Random) -> list[int]:
    """Draw n different indices (all, if there are fewer), each in proportion to the weights that are left, in the order drawn.

    Source: the Gumbel-top-k trick, Kool et al. 2019 (arXiv:1903.06059), section 3.
    """
    race = [weight - math.log(max(stream.expovariate(1.0), _SMALLEST)) for weight in log_weights]
    return sorted(range(len(race)), key=race.__getitem__, reverse=True)[:n]
