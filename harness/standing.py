"""Where a campaign stands, in figures: for `codegraft status`, for its JSON, and for the last lines of a search."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from harness.report.facts import Best, count_failures, find_best, measure_noise
from harness.values import Decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.ledger import Record


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
            "edit": best.trial.edit.uri,
            "metric": best.metric,
            "gain": best.gain,
            "gain_sd": best.in_sd,
        },
        "kept": [trial.edit.uri for trial in record.kept],
        "verdicts": _count_verdicts(record),
        "failures": dict(count_failures(record.trials)),
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
    yield f"stopped   {record.stop_reason or 'no: it runs, or it was cut off; `codegraft search` with the same options goes on'}"


def _best_line(record: Record) -> str:
    best = _best(record)
    if not all(outcome.ok for outcome in record.baseline):
        return "nothing: the baseline failed"
    if best is None:
        return "the baseline: no edit is proven better"
    change = best.gain * _sign(record)
    percent = "" if math.isnan(best.percent) else f", {math.copysign(best.percent, change):+.1f} %"
    figures = f"{record.settings.metric} {best.metric:.5g} against {best.baseline:.5g} ({change:+.3g}{percent}, {best.in_sd:.1f} sd)"
    return f"{figures} on the same fresh seeds, trial {best.trial.number}: {best.trial.edit.uri.partition('#')[0]}"


def _best(record: Record) -> Best | None:
    noise = measure_noise(record.baseline)
    return None if noise is None else find_best(record, noise, sign=_sign(record))


def _sign(record: Record) -> float:
    return 1.0 if record.settings.direction == "maximize" else -1.0


def _count_verdicts(record: Record) -> dict[str, int]:
    counts = Counter(trial.verdict.decision for trial in record.trials)
    return {decision.value: counts[decision] for decision in Decision}


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts)
