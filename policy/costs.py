"""What programs cost beside the unedited target: doublings of its CPU time, which add up over edits as gains do (policy.effects).

A campaign keeps no program beyond a limit, so what an edit promises is multiplied by the chance that its program stays within it. What a
run that was ended early would have used is known from its rate, so it teaches as much as any.

Source: Gardner et al. 2014 (Bayesian optimization with inequality constraints, ICML), eq. 6 for the product. The variances are those under
which the costs of each of four measured targets are likeliest, with the promises of the others (python -m bench.costs --tune 200).
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from policy.effects import Effects, Experience, cumulate
from policy.kernel import Deaf, Kernel

if TYPE_CHECKING:
    from policy.protocol import Tried
    from policy.traits import Floats, Traits

NOISE = 0.04  # variance of the doublings that a run takes: machines are busy
_LEAST, _CERTAIN = (
    1e-12,
    0.95,
)  # chances; above it a program counts as cheap enough, so that the noise of clocks orders nothing there


@dataclass(frozen=True, slots=True)
class CostKernel(Kernel):
    """Variances of the doublings that edits cost."""

    any: float = 0.004
    kind: float = 0.01
    site: float = 0.001
    unit: float = 0.007
    place: float = 0.001
    content: float = 0.007
    kind_content: float = 0.0005
    edit: float = 0.026
    number: float = 0.01
    slope: float = 0.1
    bow: float = 0.0002
    any_bow: float = 0.004
    length: float = 0.3
    noise: float = 0.1
    carry: float = 1.0  # what an edit costs it costs on any program
    trust: float = 0.3
    mean: float = 0.0
    mean_bow: float = 0.0

    def promised(self, traits: Traits) -> Floats:
        """Return what other targets say of the costs: (M,)."""
        return traits.price


class _Unpromised(Deaf, CostKernel):
    """The kernel of a campaign that knows of no other target."""

    __slots__ = ()


class Costs:
    """What the trials of a campaign cost."""

    def __init__(self) -> None:
        self._kernel = CostKernel()
        self._experience = Experience()
        self._doublings = {0: 0.0}  # by program
        self._effects: Effects | None = None

    def learn(self, trial: Tried, script: Traits) -> None:
        """Take note of what a trial cost, where that is known."""
        if not trial.cost > 0.0:  # NaN as well
            return
        doublings = math.log2(trial.cost)
        self._experience.add(script, doublings - self.spent(trial.parent), (NOISE, NOISE))
        self._doublings[trial.number] = doublings
        self._effects = None

    def spent(self, program: int) -> float:
        """Return how many doublings of the unedited target's cost a program takes; 0 where nobody looked."""
        return self._doublings.get(program, 0.0)

    def without_promises(self) -> Costs:
        """Return what the same trials tell a campaign that listens to no other target; to look at, not to learn with."""
        other = copy(self)
        other._kernel, other._effects = _Unpromised(), None  # noqa: SLF001 - its own
        return other

    @property
    def effects(self) -> Effects:
        """The process, fitted to all trials."""
        if self._effects is None:
            self._effects = self._experience.fit(self._kernel)
        return self._effects


def log_chance(mean: Floats, variance: Floats, room: float) -> Floats:
    """Return the log of the chance that a run takes no more doublings than there is room for: (M,)."""
    below = cumulate((room - mean) / np.sqrt(variance + NOISE))
    return np.where(below > _CERTAIN, 0.0, np.log(np.maximum(below, _LEAST)))
