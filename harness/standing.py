"""Where a campaign stands, in figures: for `codegraft status`, for its JSON, and for the last lines of a search."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.conclude import evaluation
from harness.report.facts import Best, StoppingFacts, count_failures, find_best, measure_noise, stopping_facts
from harness.values import Decision
from mutator.edit import print_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.conclude import Effect
    from harness.pareto import Contender
    from harness.record import Record


def standing_json(record: Record) -> dict[str, object]:
    """Return the figures under stable keys; what is not known yet is null."""
    settings, noise, best = record.settings, measure_noise(record.baseline), _best(record)
    return {
        "target": settings.name,
        "metric": settings.metric,
        "direction": settings.direction,
        "policy": settings.policy,
        "seed": settings.seed,
        "trials": len(record.trials),
        "planned": settings.n_trials,
        "scored": sum(trial.ok for trial in record.trials),
        "baseline": None if noise is None else {"mean": noise.mean, "sd": noise.sd, "n": noise.n},
        "best": None
        if best is None
        else {
            "trial": best.trial.number,
            "edit": print_script(best.trial.script),
            "parent": best.trial.parent,
            "metric": best.metric,
            "gain": best.gain,
            "gain_sd": best.in_sd,
        },
        "kept": [print_script(trial.script) for trial in record.kept],
        "verdicts": _count_verdicts(record),
        "failures": dict(count_failures(record.trials)),
        "final": asdict(final) if (final := evaluation(record)) else None,
        "early": asdict(early) if (early := stopping_facts(record)) else None,
        "stop_reason": record.stop_reason,
    }


def standing_lines(record: Record) -> Iterator[str]:
    """Walk the figures as lines for people."""
    settings, noise = record.settings, measure_noise(record.baseline)
    yield f"campaign  {settings.name}, policy {settings.policy}, seed {settings.seed}"
    if noise is not None:
        yield f"baseline  {settings.metric} {noise.mean:.5g} +- {noise.sd:.2g} (sd over {noise.n} seeds)"
    yield f"trials    {len(record.trials)} of {settings.n_trials}, {sum(trial.ok for trial in record.trials)} scored"
    yield f"verdicts  {_listed(_count_verdicts(record).items())}"
    if failures := count_failures(record.trials):
        yield f"failures  {_listed(failures)}"
    yield f"best      {_best_line(record)}"
    yield from _final_lines(record)
    if stopping := stopping_facts(record):
        yield f"early     {_stopping_text(stopping)}"
    yield f"stopped   {record.stop_reason or 'no: it runs, or it was cut off; `codegraft search` with the same options goes on'}"


def front_json(front: Iterable[Contender]) -> list[dict[str, object]]:
    """Return the programs that no other one beats, the unedited target as trial 0."""
    return [
        {
            "trial": each.number,
            "parent": each.trial.parent if each.trial is not None else None,
            "edit": print_script(each.trial.script) if each.trial is not None else "",
            "metric": each.metric,
            "cpu_s": each.cpu_s,
            "paths": each.paths,
        }
        for each in front
    ]


def front_lines(record: Record, front: Iterable[Contender]) -> Iterator[str]:
    """Walk them as lines for people."""
    for each in front:
        figures = f"{record.settings.metric} {each.metric:.5g}, {each.cpu_s:.3g} s CPU, {each.paths:+.3g} paths"
        yield f"pareto    {figures}, {_contender_text(each)}"


def _contender_text(each: Contender) -> str:
    if each.trial is None:
        return "the unedited target"
    on = f" on trial {each.trial.parent}" if each.trial.parent else ""
    return f"trial {each.number}: {print_script(each.trial.script, anchors=False)}{on}"


def _stopping_text(found: StoppingFacts) -> str:
    audit = "none audited yet"
    if found.n_audited:
        share = f"at most {100 * found.rate_at_most:.0f} %"
        audit = f"{found.n_false} of {found.n_audited} audited would have been kept ({share})"
    return f"{found.n_stopped} stopped, {100 * found.saved:.0f} % of the budget saved; {audit}"


def _final_lines(record: Record) -> Iterator[str]:
    """Say what the last evaluation showed: on the final test, and edit by edit."""
    found, sign = evaluation(record), record.settings.sign
    if found is None:
        return
    for name, each in (("fresh", found.fresh), ("test", found.test)):
        if each is not None:
            figures = f"{record.settings.metric} {each.better:.5g} against {each.worse:.5g}, {_interval(each, sign)}"
            yield f"{name:<9} {figures}; {found.script} script"
    for edit, each in found.edits.items():
        yield f"adds      {_interval(each, sign)}  {edit}"


def _interval(found: Effect, sign: float) -> str:
    """Print an effect in the metric's own direction, with its interval."""
    low, high = sorted((sign * found.low, sign * found.high))
    return f"{sign * found.mean:+.3g} [{low:+.2g}, {high:+.2g}] (90 %, {found.n} seeds)"


def _best_line(record: Record) -> str:
    best = _best(record)
    if not all(outcome.ok for outcome in record.baseline):
        return "nothing: the baseline failed"
    if best is None:
        return "the baseline: no edit is proven better"
    change = best.gain * record.settings.sign
    percent = "" if math.isnan(best.percent) else f", {math.copysign(best.percent, change):+.1f} %"
    figures = f"{record.settings.metric} {best.metric:.5g} against {best.baseline:.5g} ({change:+.3g}{percent}, {best.in_sd:.1f} sd)"
    n_others = sum(len(trial.script) for trial in record.lineage(best.trial.parent))
    others = f" on {n_others} more" if n_others else ""
    edits = print_script(best.trial.script, anchors=False)
    return f"{figures} on the same {best.n} fresh seeds, trial {best.trial.number}: {edits}{others}"


def _best(record: Record) -> Best | None:
    noise = measure_noise(record.baseline)
    return None if noise is None else find_best(record, noise)


def _count_verdicts(record: Record) -> dict[str, int]:
    counts = Counter(trial.verdict.decision for trial in record.trials)
    return {decision.value: counts[decision] for decision in Decision}


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts)
