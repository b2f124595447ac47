"""The figures of a report: fates, noise, the best confirmed metric, what the runs cost, statistics per edit kind.

Pure functions of a Record. Gains are positive when better; "sd" is the standard deviation of the baseline's metric over seeds,
the unit in which a gain means something.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median
from typing import TYPE_CHECKING

from harness.conclude import evaluation
from harness.values import Decision, Status
from harness.verdict import Noise, incumbent_of, noise_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.record import Record
    from harness.values import Outcome, Trial


class Fate(StrEnum):
    """What became of a trial: its decision, with the discards that never gave a metric set apart: stopped early, or failed."""

    KEPT = "kept"
    NOT_PROVEN = "not proven"
    DISCARDED = "discarded"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def css(self) -> str:
        """The class that draws its mark."""
        return self.value.replace(" ", "-")


def fate(trial: Trial) -> Fate:
    """Say what became of a trial."""
    if trial.verdict.decision is Decision.KEEP:
        return Fate.KEPT
    if not trial.ok:
        return Fate.STOPPED if trial.status is Status.STOPPED else Fate.FAILED
    return Fate.NOT_PROVEN if trial.verdict.decision is Decision.NOT_PROVEN else Fate.DISCARDED


def count_fates(trials: Iterable[Trial]) -> dict[Fate, int]:
    """Count the trials of every fate, in the order of the enum."""
    counts = Counter(fate(trial) for trial in trials)
    return {each: counts[each] for each in Fate}


def count_failures(trials: Iterable[Trial]) -> tuple[tuple[str, int], ...]:
    """Count what the trials that gave no metric died of, the most frequent first."""
    return tuple(Counter(str(trial.status) for trial in trials if not trial.ok).most_common())


def measure_noise(baseline: Sequence[Outcome]) -> Noise | None:
    """Measure the noise on the replicates that ran; None while there are fewer than two."""
    measured = [outcome for outcome in baseline if outcome.ok]
    return noise_of(measured) if len(measured) > 1 else None


@dataclass(frozen=True, slots=True)
class Best:
    """The incumbent's gain over the baseline on the same fresh seeds.

    Those of the last evaluation, which selected nothing; before it, those of the trial without the first, picked for looking good.
    """

    trial: Trial
    role: str  # in the last evaluation: incumbent or shrunk; empty before it
    n: int  # fresh seeds
    metric: float  # mean over them
    baseline: float  # mean of the unedited target on the same seeds
    gain: float  # in the metric's unit
    percent: float  # of the baseline's mean
    in_sd: float


def find_best(record: Record, noise: Noise) -> Best | None:
    """Measure the incumbent against the baseline; None before the first keep."""
    trial = record.incumbent
    if trial is None:
        return None
    found = evaluation(record)
    if found is not None:
        role, n, metric, mean = found.script, found.fresh.n, found.fresh.better, found.fresh.worse
    else:
        baseline = incumbent_of(record.baseline)
        fresh = [outcome for outcome in trial.outcomes[1:] if outcome.seed in baseline.seeds]
        role, n = "", len(fresh)
        metric, mean = fmean(outcome.metric for outcome in fresh), fmean(baseline.on(outcome.seed) for outcome in fresh)
    gain = record.settings.sign * (metric - mean)
    percent = 100 * gain / abs(mean) if mean else math.nan
    return Best(trial, role, n, metric, mean, gain=gain, percent=percent, in_sd=gain / noise.sd)


@dataclass(frozen=True, slots=True)
class KindFacts:
    """What one edit kind paid in a campaign."""

    kind: str
    fates: dict[Fate, int]
    gains_sd: tuple[tuple[Trial, float], ...]  # of the trials that ran, against the incumbent of their time

    @property
    def tried(self) -> int:
        """How many trials used the kind."""
        return sum(self.fates.values())

    @property
    def ran(self) -> int:
        """How many of them gave a metric."""
        return self.tried - self.fates[Fate.FAILED] - self.fates[Fate.STOPPED]

    @property
    def mean_sd(self) -> float:
        """The mean gain; NaN when none ran."""
        return fmean(gain for _, gain in self.gains_sd) if self.gains_sd else math.nan

    @property
    def median_sd(self) -> float:
        """The median gain, which one diverged run does not move; NaN when none ran."""
        return median(gain for _, gain in self.gains_sd) if self.gains_sd else math.nan

    @property
    def best_sd(self) -> float:
        """The largest gain; NaN when none ran."""
        return max((gain for _, gain in self.gains_sd), default=math.nan)


def kind_facts(trials: Iterable[Trial], noise: Noise) -> tuple[KindFacts, ...]:
    """Sum the trials up per edit kind, one with several kinds at each: first what was kept most often, then what was tried most often."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        for kind in dict.fromkeys(edit.kind for edit in trial.script):
            groups.setdefault(kind, []).append(trial)
    facts = (
        KindFacts(
            kind, count_fates(group), tuple((trial, trial.verdict.gain / noise.sd) for trial in group if trial.ok)
        )
        for kind, group in groups.items()
    )
    return tuple(sorted(facts, key=lambda each: (-each.fates[Fate.KEPT], -each.tried, each.kind)))


def all_runs(record: Record) -> tuple[Outcome, ...]:
    """List every run of a campaign: the baseline's, and those of all trials, judged or not."""
    return (*record.baseline, *(outcome for proposal in record.proposals for outcome in proposal.outcomes))


def isolation_levels(record: Record) -> tuple[str, ...]:
    """List the isolation levels that runs really had, the most frequent first."""
    return tuple(
        level for level, _ in Counter(each.isolation for each in all_runs(record) if each.isolation).most_common()
    )


@dataclass(frozen=True, slots=True)
class StoppingFacts:
    """What the stopping rule did, and what it cost as far as its audit shows."""

    n_stopped: int
    n_audited: int  # that it would have stopped, and that went on to the end to see what it costs
    n_false: int  # of them, those that were kept
    saved: float  # share of the budgets of all first runs that was not spent

    @property
    def rate_at_most(self) -> float:
        """The false-kill rate that the audit allows: the upper end of Wilson's one-sided 95 % interval; 1 without an audit."""
        n, k, z = self.n_audited, self.n_false, 1.645
        if not n:
            return 1.0
        middle, spread = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
        return min(1.0, (middle + spread) / (n + z * z))


def stopping_facts(record: Record) -> StoppingFacts | None:
    """Sum up what the stopping rule did; None where there is none."""
    if record.settings.stopping == "none":
        return None
    firsts = [(trial, trial.outcomes[0]) for trial in record.trials if trial.outcomes[0].isolation]
    audited = [trial for trial, first in firsts if not math.isnan(first.doomed_at)]
    stopped = [first for _, first in firsts if first.status is Status.STOPPED]
    whole = max((outcome.steps for outcome in record.baseline), default=0)
    spared = sum(1 - first.steps / whole for first in stopped) if whole else 0.0
    saved = spared / len(firsts) if firsts else 0.0
    return StoppingFacts(len(stopped), len(audited), sum(trial.kept for trial in audited), saved)
