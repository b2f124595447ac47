"""The verdict: whether a trial is better than the incumbent beyond the noise, from what was measured and nothing else.

The standard deviation comes from replicates of the unedited target. Every comparison is paired by seed: measured on bytelm, the difference
between two programs on the same seed has an sd of 0.000 to 0.019 bits per byte, on different seeds of 0.023 to 0.032. A trial runs once, on
the first seed; when that looks good enough (`screen`) it runs on the incumbent's other seeds, which are fresh to it, and it is kept only if
all seeds together beat the incumbent by a one-sided 95 % Student t margin and the fresh ones alone are better: the first seed was selected
for being lucky, the fresh ones were not.

The test is the paired t test: z divides the mean gain by the standard error of the gains themselves, which are fewer but quieter than what
replicates of the baseline say; a floor of a quarter of their noise keeps three gains that agree by chance from proving anything.

What decides a keep is scored more closely (`wanted`): the other seeds on a second shard of the held-out data as well, with full probes.
The gain must be there on that shard too. What is too good to be true (beyond TOO_GOOD_SD) must show again, by half at least, on a seed
that nothing was ever run with. A budget counts questions, so work between two of them is not in it: what costs COSTLY times the
baseline's CPU time is no better program for that budget.

Simulated with 3 seeds: a campaign of 100 worthless edits keeps 0.6 of them (0.4 where 0.8 of the noise belongs to the seed); an edit worth
3 sd is kept 75 % of the time, one worth 1.5 sd 33 %, and 78 % where 0.8 of the noise belongs to the seed (by the baseline's noise alone:
33 %). The metric's direction is in `sign` and nowhere else: a gain is positive when better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from harness.meter import N_MARKS, WARM_UP
from harness.values import ONE_SHARD, TOO_COSTLY, TOO_GOOD, UNVOUCHED, Decision, Scoring, Status, TrialError, Verdict
from targets.manifest import Tier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.values import Outcome
    from targets.manifest import Limits

SD_FLOOR = 1e-4  # of |mean|: replicates that agree by chance, or to the last digit, prove no precision below this
SCREEN_Z = 0.5  # below it no confirmation: saves 2 of 3 of those of worthless edits

TOO_GOOD_SD = 8.0  # sd of the baseline; real steps of that size exist, and cost one more run
TOO_GOOD_SHARE = 0.5  # of such a gain, which a fresh seed has to show
COSTLY = 3.0  # times the CPU time of any replicate; honest edits (twice the depth, a wider model) stay below
COSTLY_LEAST_S = 1.0  # of CPU time; a run of milliseconds takes several times as many on a busy machine
_RAN = (Status.OK, Status.STOPPED, Status.TIMEOUT)
PAIRED_SD_FLOOR = 0.25  # of the sd that the difference of two unpaired runs has

_SD_LEAST = 1e-9  # in the metric's unit, where the mean is 0 as well

# Student t, one-sided 95 %, for 1 to 30 degrees of freedom.
# Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
_T95 = (
    *(6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812),
    *(1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725),
    *(1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703, 1.701, 1.699, 1.697),
)


@dataclass(frozen=True, slots=True)
class Noise:
    """How much the unedited target's metric moves between seeds."""

    mean: float
    sd: float  # sample standard deviation, floored
    n: int  # replicates
    cpu_s: float = 0.0  # of the costliest replicate

    @property
    def floored(self) -> bool:
        """Whether the replicates agree to the last digits: then nothing is known about the noise."""
        return self.sd <= max(SD_FLOOR * abs(self.mean), _SD_LEAST)

    @property
    def margin(self) -> float:
        """The z that a keep needs; above 30 degrees of freedom the value for 30, which is 3 % too strict at most."""
        return student_t(self.n - 1)


@dataclass(frozen=True, slots=True)
class Incumbent:
    """What a trial has to beat: a metric per seed."""

    metrics: tuple[tuple[int, float], ...]
    seconds: tuple[tuple[int, float], ...] = ()  # the same on the second shard, for the seeds where that is known

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that it was measured on, the one that selects first."""
        return tuple(seed for seed, _ in self.metrics)

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return fmean(metric for _, metric in self.metrics)

    def on(self, seed: int) -> float:
        """Return the metric on one seed.

        Raises: TrialError: the incumbent was not measured on it.
        """
        found = dict(self.metrics).get(seed)
        if found is None:
            raise TrialError(f"incumbent: was not measured on seed {seed}; compare on one of its own seeds")
        return found


def costly_s(baseline_s: float) -> float:
    """Return the CPU time in seconds from which on a run is no better program for the budget, whatever it measures."""
    return max(COSTLY * baseline_s, COSTLY_LEAST_S)


def cost_of(outcomes: Sequence[Outcome], baseline: Sequence[Outcome]) -> float:
    """Return the CPU time of a program's run against the costliest of the unedited target's; NaN where nothing shows it.

    What was ended early is taken on at its rate, once that is no more the rate of what it loads.
    """
    most_s = max((outcome.cpu_s for outcome in baseline), default=0.0)
    seconds = [outcome.cpu_s / _done(outcome) for outcome in outcomes if outcome.status in _RAN]
    return median(seconds) / most_s if most_s and seconds else math.nan


def most_cost(noise: Noise, limits: Limits) -> float:
    """Return the cost beyond which no program is kept, in the unit of `cost_of`: by the verdict, or by the manifest's limit."""
    return min(costly_s(noise.cpu_s), limits.cpu_s) / noise.cpu_s if noise.cpu_s else math.inf


def _done(outcome: Outcome) -> float:
    """Return the share of the budget that a run is known to have done."""
    n_marks = len(outcome.curve)
    return 1.0 if outcome.ok or n_marks < WARM_UP else n_marks / N_MARKS


def student_t(freedom: int) -> float:
    """Return the one-sided 95 % quantile; above 30 degrees of freedom that of 30."""
    return _T95[min(freedom, len(_T95)) - 1]


def noise_of(baseline: Sequence[Outcome]) -> Noise:
    """Measure the noise on replicates of the unedited target.

    Raises: TrialError: a replicate failed, or there are fewer than two.
    """
    if len(baseline) < 2:
        raise TrialError(f"baseline: has {len(baseline)} replicates; run at least 2, better 3 to 5")
    incumbent = incumbent_of(baseline)
    sd = stdev(outcome.metric for outcome in baseline)
    sd = max(sd, SD_FLOOR * abs(incumbent.mean), _SD_LEAST)
    return Noise(incumbent.mean, sd, len(baseline), max(outcome.cpu_s for outcome in baseline))


def incumbent_of(outcomes: Sequence[Outcome]) -> Incumbent:
    """Return what the next trial has to beat: the baseline's replicates at first, then all seeds of the kept trial.

    Raises: TrialError: a run has no metric, or there is none.
    """
    if not outcomes:
        raise TrialError("incumbent: has no run; measure it on at least one seed")
    for index, outcome in enumerate(outcomes):
        if not outcome.ok:
            raise TrialError(f"incumbent: run {index} has no metric ({_say(outcome)}); repair the target first")
    seconds = tuple((outcome.seed, outcome.second) for outcome in outcomes if not math.isnan(outcome.second))
    return Incumbent(tuple((outcome.seed, outcome.metric) for outcome in outcomes), seconds)


def screen(outcome: Outcome, incumbent: Incumbent, noise: Noise, *, sign: float) -> bool:
    """Say whether a run on the first seed is worth its confirmation on fresh seeds.

    Units: sign is +1.0 where more is better, -1.0 where less is.
    """
    return outcome.ok and _z([sign * (outcome.metric - incumbent.on(outcome.seed))], noise) >= SCREEN_Z


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that a verdict needs."""

    seed: int
    scoring: Scoring


def wanted(
    outcomes: Sequence[Outcome], incumbent: Incumbent, noise: Noise, *, sign: float, unseen: int
) -> tuple[Wanted, ...]:
    """List the runs that a verdict needs, those that are there first: it is complete when there are no others.

    Units: unseen is a seed that no run has; sign as in `screen`.
    """
    first, *others = incumbent.seeds
    runs = [Wanted(first, Scoring.SEARCH)]
    if outcomes and screen(outcomes[0], incumbent, noise, sign=sign):
        runs += [Wanted(seed, Scoring.GATE) for seed in others]
    if len(outcomes) >= len(incumbent.metrics):
        verdict = judge(outcomes[: len(incumbent.metrics)], incumbent, noise, sign=sign)
        if verdict.decision is Decision.KEEP and verdict.gain > TOO_GOOD_SD * noise.sd:
            runs.append(Wanted(unseen, Scoring.GATE))
    return tuple(runs)


def judge(outcomes: Sequence[Outcome], incumbent: Incumbent, noise: Noise, *, sign: float) -> Verdict:
    """Decide on a trial from its runs: the first seed, then the fresh ones, of which a keep needs at least one.

    A run on a seed that the incumbent was not measured on comes last and confirms what is too good to be true.

    Units: the gain in the metric's unit; sign as in `screen`.
    """
    failed = next((outcome for outcome in outcomes if not outcome.ok), None)
    if failed is not None:
        return Verdict(Decision.DISCARD, math.nan, math.nan, math.nan, _say(failed))
    paired = outcomes[: len(incumbent.metrics)]
    gains = [sign * (outcome.metric - incumbent.on(outcome.seed)) for outcome in paired]
    gain = fmean(gains)
    z = _z(gains, noise)
    decision, reason = _decide(gain, z, gains[1:], noise.margin)
    if decision is Decision.KEEP and (doubt := _doubt(outcomes, incumbent, noise, gain=gain, sign=sign)):
        decision, reason = Decision.NOT_PROVEN, doubt
    metric = incumbent.mean + sign * gain
    lead = sign * (metric - noise.mean) / noise.sd
    said = f"{reason} (z {z:.2f}, seeds {len(gains)}; a keep needs {noise.margin:.2f})"
    return Verdict(decision, metric, gain, z, said, lead)


def _doubt(outcomes: Sequence[Outcome], incumbent: Incumbent, noise: Noise, *, gain: float, sign: float) -> str:
    """Say what speaks against a gain that the held-out data prove; empty when nothing does."""
    if any(outcome.tier == Tier.SELF_REPORTED for outcome in outcomes):
        return f"{UNVOUCHED}: nothing vouches for it"
    cpu_s = median(outcome.cpu_s for outcome in outcomes)  # neither a busy machine nor one cheap seed decides
    if noise.cpu_s and cpu_s > costly_s(noise.cpu_s):
        return f"{TOO_COSTLY} {cpu_s / noise.cpu_s:.1f} times the CPU time of the baseline"
    seconds = dict(incumbent.seconds)
    shown = [sign * (o.second - seconds[o.seed]) for o in outcomes if o.seed in seconds and not math.isnan(o.second)]
    if shown and fmean(shown) <= 0.0:
        return f"{ONE_SHARD}, not on their second shard"
    for outcome in outcomes[len(incumbent.metrics) :]:
        again = sign * (outcome.metric - incumbent.mean)
        if again < TOO_GOOD_SHARE * gain:
            return f"{TOO_GOOD} to be true: {gain:.3g} on the incumbent's seeds, {again:.3g} on seed {outcome.seed}"
    return ""


def _decide(gain: float, z: float, fresh: Sequence[float], margin: float) -> tuple[Decision, str]:
    if gain <= 0.0:
        return Decision.DISCARD, "not better"
    if not fresh:
        return Decision.NOT_PROVEN, "better on the first seed alone"
    if z < margin:
        return Decision.NOT_PROVEN, "better, but inside the noise"
    if fmean(fresh) <= 0.0:
        return Decision.NOT_PROVEN, "better on the first seed, not on fresh ones"
    return Decision.KEEP, "better beyond the noise"


def _z(gains: Sequence[float], noise: Noise) -> float:
    """Divide the mean gain by its standard error: from the gains' own spread, or for one alone from the baseline's noise."""
    unpaired = noise.sd * math.sqrt(2)
    sd = max(stdev(gains), PAIRED_SD_FLOOR * unpaired) if len(gains) > 1 else unpaired
    return fmean(gains) * math.sqrt(len(gains)) / sd


def _say(failed: Outcome) -> str:
    return f"{failed.status}: {failed.detail}" if failed.detail else str(failed.status)
