"""The count of a training's budget, and what the training hints at on the way: the supervisor's own books about one trial.

A trial says what it did and asks to go on; the answer is its progress, which is this count and nothing that the trial says. A hint may come
with the question: one number, by convention the loss of a step. It can be a lie, so nothing is ever paid for it and no verdict reads it; it
only decides whether the rest of a budget is worth spending (`harness/stopping.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.orders import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.orders import Allowance

N_MARKS = 20  # equal parts of a budget, over which hints are averaged and after which a run may be stopped
WARM_UP = (
    4  # marks, 20 % of a budget, before curves are compared and a rate is more than that of what the first steps load
)
_COUNTED = frozenset({"steps", "tokens", QUESTIONS})


class Meter:
    """The count of a budget: how far a trial is that says what it has done and asks to go on."""

    def __init__(self, allowance: Allowance, clock: Callable[[], float]) -> None:
        self._allowance = allowance
        self._clock = clock  # seconds, for a budget of time
        self._started_at: float | None = None
        self._consumed = 0.0
        self.progress = 0.0  # as it was answered last
        self.n_granted = 0  # questions answered below 1
        self.n_overrun = 0  # questions after the budget was used up

    def is_over(self, wall_s: float, cpu_s: float) -> bool:
        """Whether a training that never asks has taken what it is granted, where the budget is such a ceiling."""
        if not self._allowance.is_ceiling or self._started_at is not None:
            return False
        return {"wall_s": wall_s, "cpu_s": cpu_s}.get(self._allowance.unit, 0.0) > self._allowance.amount

    def grant(self, done: float) -> float:
        """Return the progress, in [0, inf), of a trial that did so much work since it last asked.

        Every question after the first costs at least 1, so a trial that reports nothing, less than nothing or a NaN does
        not train for ever. Time counts from the first question: before it are the imports, which a fork need not do.
        """
        is_first = self._started_at is None
        if self._started_at is None:
            self._started_at = self._clock()
        if self._allowance.unit not in _COUNTED:
            self._consumed = self._clock() - self._started_at
        elif not is_first:
            self._consumed += 1.0 if self._allowance.unit == QUESTIONS else max(1.0, done)  # in this order a NaN is 1
        self.progress = self._consumed / self._allowance.amount
        self.n_granted += self.progress < 1.0
        self.n_overrun += self.progress >= 1.0
        return self.progress


class Hints:
    """The curve of a training: the mean of its hints over each of the N_MARKS equal parts of its budget."""

    def __init__(self) -> None:
        self._sums = [0.0] * N_MARKS
        self._counts = [0] * N_MARKS

    def add(self, progress: float, hint: float) -> None:
        """Take a hint about work that began at a progress; one that is not finite counts as infinite, whatever its sign."""
        mark = min(n_marks(progress), N_MARKS - 1)
        self._sums[mark] += hint if math.isfinite(hint) else math.inf
        self._counts[mark] += 1

    def curve(self, progress: float) -> tuple[float, ...]:
        """Return the marks that are complete at a progress, NaN where nothing was hinted; () when nothing was at all."""
        if not any(self._counts):
            return ()
        marks = zip(self._sums[: n_marks(progress)], self._counts, strict=False)
        return tuple(_mean(total, count) for total, count in marks)


def n_marks(progress: float) -> int:
    """Return how many marks are complete at a progress."""
    return int(min(progress, 1.0) * N_MARKS)


def _mean(total: float, count: int) -> float:
    """Divide; sums that ran over either end are not finite, and infinite like every such hint."""
    if count == 0:
        return math.nan
    return total / count if math.isfinite(total) else math.inf
