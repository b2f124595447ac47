"""The harness's four values: Outcome (what a run did), Verdict, Reward, and Trial (one line of the ledger).

What can happen to a run (a crash, a timeout, a NaN) is an Outcome with a status, never an exception and never a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutator.edit import Edit


class TrialError(Exception):
    """A campaign that cannot go on: a failing baseline, a foreign ledger, a machine that cannot isolate."""


class Status(StrEnum):
    """How a run ended."""

    OK = "ok"  # measured: the metric is finite and every probe passed
    FAILED = "failed"  # the process ended by itself with an error
    TIMEOUT = "timeout"  # a limit on time was reached
    OOM = "oom"  # the memory limit was reached
    OUTPUT_LIMIT = "output_limit"  # it printed more than the manifest allows
    INVALID_METRIC = "invalid_metric"  # no checkpoint, a wrong shape, a metric that is not finite
    INTEGRITY_VIOLATION = "integrity_violation"  # a probe failed or a frozen file was changed: the result is void
    DUPLICATE = "duplicate"  # the same program up to names and layout was tried before: it was not run
    STOPPED = "stopped"  # the stopping rule ended it early: what it would have measured is unknown, and never paid
    CANCELLED = "cancelled"  # the campaign ended first
    INFRA_ERROR = "infra_error"  # our own fault; the run is repeated and the policy never sees it


class Scoring(StrEnum):
    """What a run is measured on, and how closely its outputs are probed."""

    SEARCH = "search"  # the held-out data; a few of the calls are probed: what every trial gets
    GATE = "gate"  # the second shard as well, and nearly all calls are probed: what stands before a keep
    FINAL = "final"  # the final test instead of the held-out data, probed as closely: once, for a report


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of one snapshot with one seed did."""

    status: Status
    metric: float = math.nan  # in the target's unit; NaN unless the status is ok
    seed: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    steps: int = 0  # grants of the budget that the run consumed
    detail: str = ""  # one line: what failed, where
    log_tail: str = ""  # the end of stdout and stderr, as printed (untrusted)
    isolation: str = ""  # the layers that were really in force
    tier: str = "scored"  # a targets.manifest.Tier: how far from edited code the metric was computed
    second: float = math.nan  # metric on the second shard of the held-out data; NaN where not asked
    curve: tuple[float, ...] = ()  # what the training hinted at, the mean over each part of its budget; else NaN
    doomed_at: float = math.nan  # progress at which the stopping rule would have ended an audited run
    phases: tuple[tuple[str, float], ...] = ()  # seconds: wait, copy, train, score

    @property
    def ok(self) -> bool:
        """Whether the metric may be used."""
        return self.status is Status.OK


def status_of(outcomes: Iterable[Outcome]) -> Status:
    """Return the status of the first run that was not ok, or ok."""
    return next((outcome.status for outcome in outcomes if not outcome.ok), Status.OK)


@dataclass(frozen=True, slots=True)
class Smoke:
    """What the first steps of a training did: whether they ran, and a digest of the weights that they led to."""

    outcome: Outcome  # its metric is NaN: nothing was scored
    fingerprint: str  # empty when they did not run


class Decision(StrEnum):
    """What a verdict says."""

    KEEP = "keep"  # better than the incumbent beyond the noise, confirmed on fresh seeds
    DISCARD = "discard"  # not better, or it did not run
    NOT_PROVEN = "not proven"  # better, but inside the noise


# How the reasons begin for which a gain beyond the noise is not kept.
TOO_COSTLY, UNVOUCHED, ONE_SHARD, TOO_GOOD = (
    "better, but at",
    "better, but self-reported",
    "better on the held-out data",
    "too good",
)
_DOUBTS = (TOO_COSTLY, UNVOUCHED, ONE_SHARD, TOO_GOOD)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision with its statistics. Gains are positive when better, whatever the metric's direction."""

    decision: Decision
    metric: float  # the incumbent's mean over its seeds, moved by the mean difference on the seeds that ran; NaN when there is none
    gain: float  # that difference, in the metric's unit; NaN likewise
    z: float  # gain / standard error of that difference; NaN likewise
    reason: str
    lead: float = math.nan  # of the metric over the baseline's mean, in sd of its replicates; NaN likewise


@dataclass(frozen=True, slots=True)
class Reward:
    """The sum of its named terms."""

    terms: tuple[tuple[str, float], ...]

    @property
    def total(self) -> float:
        """What the policy learns from."""
        return math.fsum(value for _, value in self.terms)


@dataclass(frozen=True, slots=True)
class Trial:
    """One proposed move, what became of it, and what was decided. Append-only: it has exactly one terminal result."""

    number: int  # from 1; baseline replicates are no trials
    parent: int  # the trial whose program was edited; 0: the unedited target
    script: tuple[Edit, ...]  # what was edited, all at once
    snapshot: str  # digest of the edited snapshot
    commit: str  # the program version in objects.git
    outcomes: tuple[Outcome, ...]  # first the search seed, then the confirmations
    verdict: Verdict
    reward: Reward
    cost: float = math.nan  # CPU time of a run against that of the unedited target; NaN where nothing shows it

    @property
    def metric(self) -> float:
        """What it measured, comparable over the campaign: see Verdict.metric."""
        return self.verdict.metric

    @property
    def status(self) -> Status:
        """The status of the first run that was not ok, or ok."""
        return status_of(self.outcomes)

    @property
    def ok(self) -> bool:
        """Whether every run of the trial was measured."""
        return self.status is Status.OK

    @property
    def stopped(self) -> bool:
        """Whether the stopping rule ended it."""
        return self.status is Status.STOPPED

    @property
    def repeats(self) -> bool:
        """Whether it did not run, because its program was known."""
        return self.status is Status.DUPLICATE

    @property
    def refused(self) -> bool:
        """Whether it is not kept however good it is: too costly, or too good to be true."""
        return self.verdict.reason.startswith(_DOUBTS)

    @property
    def kept(self) -> bool:
        """Whether the trial became the incumbent."""
        return self.verdict.decision is Decision.KEEP

    @property
    def reward_total(self) -> float:
        """What the policy learns from."""
        return self.reward.total

    @property
    def lead(self) -> float:
        """How far it is ahead of the unedited target: see Verdict.lead."""
        return self.verdict.lead
