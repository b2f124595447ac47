"""What is known of other runs when the rest of one is decided on: their curves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from policy.draw import open_stream

Curve = tuple[float, ...]  # of marks; NaN where nothing was hinted, infinite where a hint was not finite

AUDIT_SHARE = 0.1  # of the runs


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a rule knows when a trial starts: curves of which less is better, and which trial it is."""

    baseline: tuple[Curve, ...]  # replicates of the unedited target, on different seeds
    finished: tuple[Curve, ...]  # earlier trials, stopped ones included: they are shorter
    incumbent: Curve  # on the seed of the trial
    seed: int  # of the campaign
    number: int  # of the trial
    cpu_s: float = math.inf  # of the costliest replicate

    @property
    def audited(self) -> bool:
        """Draw whether the trial is audited, from its number and the campaign's seed."""
        return open_stream(self.seed, "audit", self.number).random() < AUDIT_SHARE
