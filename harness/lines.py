"""The lines that a campaign prints while it runs: one per baseline replicate, one per trial."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.values import Status
from mutator.edit import print_script
from targets.manifest import Tier

if TYPE_CHECKING:
    from harness.record import Recheck, Settings
    from harness.values import Outcome, Trial
    from harness.verdict import Noise

_LONGEST = 100  # characters of a reason on a line


def outcome_line(metric: str, outcome: Outcome) -> str:
    """Say what one run did."""
    measured = f"{metric} {outcome.metric:.6g}" if outcome.ok else str(outcome.status)
    return f"{measured}{badge(outcome)}  seed {outcome.seed}  {outcome.wall_s:.1f} s  {outcome.isolation}"


def badge(outcome: Outcome) -> str:
    """Mark a metric that nothing but the edited code vouches for; empty for one that was measured."""
    return " (self-reported, not measured)" if outcome.tier == Tier.SELF_REPORTED else ""


def printed(outcome: Outcome) -> str:
    """Return the end of what a run printed, on lines of its own; empty when it printed nothing."""
    return f"\n{outcome.log_tail.rstrip()}" if outcome.log_tail.strip() else ""


def baseline_fault(outcome: Outcome) -> str:
    """Say that a run of the unedited target has no metric."""
    return f"baseline: {outcome.status} with seed {outcome.seed}: {outcome.detail}"


def baseline_line(index: int, settings: Settings, outcome: Outcome) -> str:
    """Say what one replicate of the unedited target measured."""
    return f"baseline {index + 1}/{settings.replicates}  {outcome_line(settings.metric, outcome)}"


def noise_line(settings: Settings, noise: Noise) -> str:
    """Say what the replicates say together."""
    if noise.floored:
        same = f"baseline  {settings.metric} {noise.mean:.5g} on all {noise.n} seeds"
        return f"{same}: no noise is known; does the training read CODEGRAFT_SEED?"
    return f"baseline  {settings.metric} {noise.mean:.5g} +- {noise.sd:.2g} (n {noise.n}); a keep needs z {noise.margin:.2f}"


def trial_line(trial: Trial, settings: Settings, noise: Noise, *, incumbent: int) -> str:
    """Say what became of a trial: the change against the incumbent in the metric's own direction, sd and z positive when better.

    incumbent: the number of that; a trial that edits another program says which.
    """
    head = f"trial {trial.number}  {trial.verdict.decision if trial.ok else trial.status}"
    edits = print_script(trial.script, anchors=False)
    if trial.parent != incumbent:
        edits += f"  on trial {trial.parent}" if trial.parent else "  on the baseline"
    if not trial.ok or math.isnan(trial.verdict.gain):
        return f"{head}{_why(trial)}  {edits}"
    change = settings.sign * trial.verdict.gain
    z = f", z {trial.verdict.z:.1f}" if len(trial.outcomes) > 1 else ""
    metric = f"{settings.metric} {trial.metric:.5g}{badge(trial.outcomes[0])}"
    measured = f"{metric} ({change + 0.0:+.2g}, {_sd_text(trial.verdict.gain / noise.sd)}{z})"
    doubt = f"  {trial.verdict.reason.partition(' (z ')[0]}" if trial.refused else ""
    return f"{head}  {measured}{doubt}  {edits}"


def recheck_line(recheck: Recheck, settings: Settings, noise: Noise) -> str:
    """Say what one more look at the incumbent showed."""
    head = f"recheck of trial {recheck.trial}, seed {recheck.incumbent.seed}"
    if not (recheck.incumbent.ok and recheck.baseline.ok):
        return f"{head}  incumbent {recheck.incumbent.status}, baseline {recheck.baseline.status}"
    change = recheck.incumbent.metric - recheck.baseline.metric
    gain = settings.sign * change
    return f"{head}  {settings.metric} {recheck.incumbent.metric:.5g} ({change:+.2g} against the baseline, {gain / noise.sd:.1f} sd)"


def _sd_text(gain: float) -> str:
    """Print a gain in standard deviations; what diverged needs no more digits than its size."""
    return f"{gain:.1f} sd" if abs(gain) < 1e6 else f"{gain:.1g} sd"


def _why(trial: Trial) -> str:
    """Say why there is no metric, where a person would ask."""
    detail = next((outcome.detail for outcome in trial.outcomes if not outcome.ok), "")
    return f"  {detail[:_LONGEST]}" if detail and trial.status is not Status.DUPLICATE else ""
