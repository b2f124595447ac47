"""When a training is not worth the rest of its budget: rules that read its curve, and nothing else.

A rule is a pure function of curves that a ledger holds, so a campaign decides the same when it is resumed. Curves are compared at equal
progress, never extrapolated: a schedule that decays late drops late, which no trend sees. Every rule stops what has failed (`has_failed`)
and what will cost too much ever to be kept (`costs_too_much`: CPU time grows evenly, so this alone is extrapolated),
and spares the first fifth of a budget, in which a good edit may be all over the place, and what is near the incumbent at the same mark
(`margins`): an edit worth keeping may be behind for a while, and the runs of one seed see the same batches, so a good edit stays nearer
to its parent than two seeds of one program are to each other.

Measured on 120 random edits of bytelm that all ran to their end, 200 random orders of 60 with three replicates (`make bench-stopping`): the
median rule spends 75 % of the compute where every run is compared with the unedited target and 48 % where the best run so far is the
incumbent, finds the same best edit every time, and 2.3 and 0.3 % of its stops are runs that would have been better, however little. Without
the grace it stops half of the winners, with half a standard deviation 14 %; from one on 3 %, all of them one schedule that decays late;
four spare that one too and save 15 %. To stop whatever is beyond the grace, median or not, loses the best edit in a quarter of the orders.

What a stopped run would have measured is not known, and nothing is paid for it. A tenth of the runs that a rule would stop go on to their
end (`audited`), and tell a campaign how many good ones its rule costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Protocol

from harness.evidence import Curve, Evidence
from harness.meter import N_MARKS, WARM_UP
from harness.pruner import Pruned
from harness.values import TrialError
from harness.verdict import costly_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIN_FINISHED = 5  # curves before a median says something
GRACE_SD = 1.5  # of the replicates at the same mark: how far behind the incumbent a run is spared
GRACE_FLOOR = 0.005  # of the incumbent's mark: where replicates agree by chance
FAILED_AT = 0.5  # of its first mark: how much worse than it a run must become to have failed
COSTLY_MARGIN = 1.5  # by which a rate at 20 % may be off: what the first steps load is spread over a fifth of them
SHORT_S = 5.0  # of CPU time; of short trainings a busy machine changes the rate threefold, and little is saved
_ETA, _FIRST_RUNG = 3, 2  # of successive halving; the rung is in marks


class StoppingRule(Protocol):
    """Whether one training goes on, asked at every mark of its budget."""

    @property
    def audited(self) -> bool:
        """Whether the run goes on whatever the rule says, so that a campaign learns what its rule costs."""
        ...

    def verdict(self, curve: Sequence[float], cpu_s: float) -> str:
        """Say why to stop a training with these marks so far, which will use so much CPU time in all; empty: it goes on."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """Stop what has failed, and what a comparison finds behind unless it is near the incumbent."""

    evidence: Evidence
    compare: Callable[[Curve, Evidence], str]

    @property
    def audited(self) -> bool:
        """Whether the run goes on whatever the rule says."""
        return self.evidence.audited

    def verdict(self, curve: Sequence[float], cpu_s: float = 0.0) -> str:
        """Say why to stop a training with these marks so far, which will use so much CPU time in all; empty: it goes on."""
        marks = tuple(curve)
        if math.inf in marks:
            return f"hint is not finite at {_percent(marks)} of the budget"
        if len(marks) < WARM_UP:
            return ""
        if said := costs_too_much(cpu_s, self.evidence):
            return said
        if math.isnan(marks[-1]) or is_near(marks, self.evidence):
            return ""
        return has_failed(marks) or self.compare(marks, self.evidence)


def make_rule(name: str, evidence: Evidence) -> StoppingRule | None:
    """Make the stopping rule of one trial: "median", "asha", "optuna:PRUNER", or "none", which is None.

    Raises: TrialError: there is no such rule.
    """
    if name == "none":
        return None
    if name in _COMPARISONS:
        return Rule(evidence, _COMPARISONS[name])
    if name.startswith("optuna:"):
        return Rule(evidence, Pruned(name.partition(":")[2]))
    raise TrialError(
        f"stopping rule {name!r}: is not known; write one of none, {', '.join(_COMPARISONS)}, optuna:PRUNER"
    )


def costs_too_much(cpu_s: float, evidence: Evidence) -> str:
    """Say that a training will use far more CPU time than a program that is kept may; empty when it will not."""
    limit = costly_s(evidence.cpu_s)
    if cpu_s <= max(COSTLY_MARGIN * limit, SHORT_S):
        return ""
    return f"uses {cpu_s:.3g} s of CPU time at this rate; beyond {limit:.3g} s nothing is kept"


def has_failed(curve: Curve) -> str:
    """Say that a training is far worse than at its start; empty when it is not."""
    limit = curve[0] + FAILED_AT * abs(curve[0])
    if curve[-1] > limit:  # not where either is NaN
        return (
            f"hint {curve[-1]:.4g} at {_percent(curve)} of the budget is worse than {limit:.4g}, half again its start"
        )
    return ""


def is_near(curve: Curve, evidence: Evidence) -> bool:
    """Whether a training is ahead of the incumbent at its last mark, or no more behind than noise and luck may put it.

    True where the incumbent hinted at nothing: there is nothing to be behind of.
    """
    at = len(curve) - 1
    mark = evidence.incumbent[at] if at < len(evidence.incumbent) else math.nan
    return not curve[-1] > mark + margins(evidence)[at]


def margins(evidence: Evidence, *, grace_sd: float = GRACE_SD) -> Curve:
    """Return how far behind the incumbent a training is spared, per mark.

    Replicates are few, so a mark at which they agree by chance has the spread of all marks after the warm-up.
    """
    whole = [curve for curve in evidence.baseline if len(curve) == N_MARKS]
    spreads = [_spread([curve[at] for curve in whole]) for at in range(N_MARKS)]
    usual = math.hypot(*spreads[WARM_UP:]) / math.sqrt(N_MARKS - WARM_UP)
    floors = [GRACE_FLOOR * abs(mark) for mark in (*evidence.incumbent, *([0.0] * N_MARKS))[:N_MARKS]]
    return tuple(max(grace_sd * max(spread, usual), floor) for spread, floor in zip(spreads, floors, strict=True))


def behind_median(curve: Curve, evidence: Evidence) -> str:
    """Say that the best mark so far is worse than the median of the runs that went on from here; empty when it is not.

    Source: the median stopping rule, Golovin et al. 2017 (Google Vizier), section 3.2.2, at equal progress.
    """
    at = len(curve) - 1
    others = [other[at] for other in evidence.finished if len(other) == N_MARKS and math.isfinite(other[at])]
    if len(others) < MIN_FINISHED:
        return ""
    best, middle = min(mark for mark in curve if not math.isnan(mark)), median(others)
    if best <= middle:
        return ""
    return (
        f"hint {best:.4g} at {_percent(curve)} of the budget is behind {middle:.4g}, the median of {len(others)} runs"
    )


def behind_rung(curve: Curve, evidence: Evidence) -> str:
    """Say that a run is not in the best third of those that came to its rung; empty when it is, and between rungs.

    Source: asynchronous successive halving, Li et al. 2020 (arXiv:1810.05934), algorithm 2, without promotion.
    """
    n = len(curve)
    if n not in {_FIRST_RUNG * _ETA**k for k in range(N_MARKS)} or len(evidence.finished) < MIN_FINISHED:
        return ""
    rung = sorted(
        [curve[-1], *(other[n - 1] for other in evidence.finished if len(other) >= n and math.isfinite(other[n - 1]))]
    )
    if curve[-1] <= rung[max(0, len(rung) // _ETA - 1)]:
        return ""
    return f"hint {curve[-1]:.4g} at {_percent(curve)} of the budget is not in the best third of {len(rung)} runs"


_COMPARISONS: dict[str, Callable[[Curve, Evidence], str]] = {"median": behind_median, "asha": behind_rung}


def _spread(marks: Sequence[float]) -> float:
    """Return the sample standard deviation; hypot does not overflow on what a hostile hint may be."""
    finite = [mark for mark in marks if math.isfinite(mark)]
    mean = sum(finite) / max(1, len(finite))
    return math.hypot(*(mark - mean for mark in finite)) / math.sqrt(max(1, len(finite) - 1))


def _percent(curve: Curve) -> str:
    return f"{100 * len(curve) / N_MARKS:.0f} %"
