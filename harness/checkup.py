"""What running the unedited target a few times says about it: its metric and noise, the cost of a trial, and what to improve.

`codegraft check` prints it, beside what the manifest documents. Hints are pure functions of what was measured: each is one line that says
what is, and what to do. Whether a predictor would pass a probe that the manifest does not name is tried, not guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from harness.lines import printed
from harness.values import TrialError
from harness.verdict import noise_of
from targets.manifest import Probe, Tier, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from graph.snapshot import Snapshot
    from harness.measure import Runner
    from harness.values import Outcome
    from harness.verdict import Noise
    from targets.manifest import Measured, Target

ROOM = 3.0  # times what the baseline takes: what a limit on CPU time should leave
_TIGHT, _LOOSE = 1.5, 10.0  # times the baseline
_LEAST_S = 10.0  # a limit that is no lower than the hiccups of a machine
_LARGE_NOISE = 0.02  # of the metric: most honest single edits gain less
_MANY_SD = 10.0  # of headroom: with fewer, single edits drown in the noise
_NUMBERS = 0.5  # of the headroom: where other numbers alone gain as much, the baseline was not tuned
_FULL = 0.7  # of the memory
_TICK_S = 0.05  # of CPU time: below it a share says nothing
_DRIFT = 3.0  # standard errors between what is documented and what is measured


@dataclass(frozen=True, slots=True)
class Checkup:
    """Runs of the unedited target, and what else was tried of it."""

    outcomes: tuple[Outcome, ...]  # on the first seeds, at least two
    again: Outcome  # one more on the first of them
    has_second: bool  # shard of held-out data
    has_final: bool  # test
    passing: tuple[Probe, ...]  # probes that the manifest does not name and the unedited target passes

    @property
    def noise(self) -> Noise:
        """Mean and standard deviation of the metric between seeds."""
        return noise_of(self.outcomes)

    @property
    def wall_s(self) -> float:
        """Mean seconds of a trial, from the copy of its sources to its metric."""
        return fmean(math.fsum(seconds for name, seconds in o.phases if name != "wait") for o in self.outcomes)

    @property
    def cpu_s(self) -> float:
        """Mean seconds of CPU time of a training."""
        return fmean(outcome.cpu_s for outcome in self.outcomes)

    @property
    def is_repeatable(self) -> bool:
        """Whether one seed gives one metric."""
        return self.again.metric == self.outcomes[0].metric


def check_up(target: Target, snapshot: Snapshot, n_seeds: int, start: Callable[[Target], Runner]) -> Checkup:
    """Run the unedited target on the seeds 0, 1, ..., once more on the first, and once for each probe that it does not name.

    start: makes a runner of a target.
    Raises: TrialError: a run has no metric, with what it printed.
    """
    with start(target) as runner:
        outcomes = tuple(_measured(runner, snapshot, seed) for seed in range(n_seeds))
        again = _measured(runner, snapshot, 0)
        has_second, has_final = runner.has_second, runner.has_test
    passing = []
    for probe in [probe for probe in Probe if probe not in target.probes and target.tier is not Tier.SELF_REPORTED]:
        with start(target.model_copy(update={"probes": (*target.probes, probe)})) as runner:
            passing += [probe] if runner.run(snapshot, 0).ok else []
    return Checkup(outcomes, again, has_second, has_final, tuple(passing))


def _measured(runner: Runner, snapshot: Snapshot, seed: int) -> Outcome:
    outcome = runner.run(snapshot, seed)
    if not outcome.ok:
        raise TrialError(f"baseline, seed {seed}: {outcome.status}: {outcome.detail}{printed(outcome)}")
    return outcome


def hints(target: Target, found: Checkup) -> Iterator[str]:
    """Walk what could be better about a target, the weightiest first; one line each."""
    yield from _of_noise(target, found)
    yield from _of_documents(target, found)
    yield from _of_limits(target, found)
    if target.tier is Tier.SELF_REPORTED:
        yield "tier is self-reported: an edit can forge the metric, and nothing is kept by itself; write a predictor and a scorer"
        return
    if not found.has_second:
        yield "there is no second shard: a keep is confirmed on the data that selected it; let prepare write folder/second"
    if not found.has_final:
        yield "there is no final test: a campaign ends without an unbiased figure; let prepare write folder/final"
    if not any(outcome.curve for outcome in found.outcomes):
        yield "the training gives no hints: early stopping has nothing to go by; hand budget.spend what the model gave"
    for probe in found.passing:
        yield f'the unedited target passes the probe "{probe}": name it in probes, so that every trial has to'


def _of_noise(target: Target, found: Checkup) -> Iterator[str]:
    noise, metric = found.noise, target.metric
    if not found.is_repeatable:
        first, second = found.outcomes[0].metric, found.again.metric
        yield (
            f"seed 0 gives {metric} {first:.6g} and then {second:.6g}: pairs by seed lose their worth; seed every generator from "
            "CODEGRAFT_SEED, keep to one thread, call torch.use_deterministic_algorithms(True)"
        )
    if noise.floored:
        yield f"all {noise.n} seeds give {metric} {noise.mean:.6g}: no noise is known; let the training read CODEGRAFT_SEED"
        return
    least = noise.margin * noise.sd * math.sqrt(2 / noise.n)
    headroom = target.measured.headroom if target.measured is not None else math.nan
    if headroom < _MANY_SD * noise.sd:
        yield (
            f"the noise is {noise.sd:.2g} and the headroom {headroom:.2g}, {headroom / noise.sd:.1f} sd: single edits drown; "
            "use --replicates 5 or a larger budget"
        )
    elif math.isnan(headroom) and noise.sd > _LARGE_NOISE * abs(noise.mean):
        yield (
            f"the noise is {noise.sd / abs(noise.mean):.1%} of {metric}: with {noise.n} unpaired replicates an edit must gain {least:.2g} "
            "to be kept; use --replicates 5 or a larger budget"
        )


def _of_documents(target: Target, found: Checkup) -> Iterator[str]:
    known, noise = target.measured, found.noise
    if known is None:
        yield "nothing is documented of it: write a table [measured], so that others see when it has changed"
    elif disagrees(known, found):
        yield (
            f"documented is {target.metric} {known.baseline:.6g} +- {known.sd:.2g}, measured {noise.mean:.6g} +- {noise.sd:.2g}: "
            "the machine, a library or the sources have changed; measure [measured] again"
        )
    if known is not None and known.numbers_share > _NUMBERS:
        yield f"other numbers alone gain {known.numbers_share:.0%} of the headroom: tune the baseline, so that edits are what is searched"


def disagrees(known: Measured, found: Checkup) -> bool:
    """Whether the documented mean is further from the measured one than noise explains."""
    noise = found.noise
    sd = max(known.sd, noise.sd)
    return abs(noise.mean - known.baseline) > _DRIFT * sd * math.sqrt(1 / known.seeds + 1 / noise.n)


def _of_limits(target: Target, found: Checkup) -> Iterator[str]:
    limits, ceiling = target.limits, target.limits.cpu_s
    field = "limits.cpu_s"
    if target.tier is Tier.SELF_REPORTED and target.budget.unit is Unit.CPU_S and target.budget.amount <= ceiling:
        field, ceiling = "budget.amount", target.budget.amount
    times, wanted = ceiling / max(found.cpu_s, _TICK_S), max(_LEAST_S, math.ceil(ROOM * found.cpu_s))
    if times < _TIGHT or (times > _LOOSE and ceiling > wanted):
        why = "an edit that costs a little more is stopped" if times < _TIGHT else "an edit may do much unseen work"
        yield f"{field} is {ceiling:g}, {times:.1f} times what the baseline takes: {why}; write {wanted:g}"
    used = max(outcome.peak_rss_bytes for outcome in found.outcomes) / (limits.memory_mb << 20)
    if used > _FULL:
        yield f"the baseline uses {used:.0%} of limits.memory_mb: a wider model does not fit; write {2 * limits.memory_mb}"
    is_counted = target.budget.unit in (Unit.STEPS, Unit.TOKENS)
    if target.tier is Tier.SELF_REPORTED and is_counted and not any(outcome.steps for outcome in found.outcomes):
        yield f'nobody asks for its budget of {target.budget.unit}: it bounds nothing; write unit = "cpu_s"'
