"""A campaign as experiment trackers see one run: facts about it, and one step per trial.

Step 0 is the baseline. A step has the trial's metric, its gain over the incumbent of its time, the incumbent's metric after it, the
reward with its terms, and what its runs cost; what is not known is left out, since most trackers draw a NaN badly.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.export.text import one_line
from harness.report.facts import isolation_levels, measure_noise
from mutator.edit import print_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.export.history import Entry, History

_GIB = 1 << 30
_LINE = 500  # characters of a text that a tracker shows
_NAME = re.compile(r"[^\w./-]")  # what trackers do not take in the name of a series


@dataclass(frozen=True, slots=True)
class Step:
    """What a tracker is told about one trial."""

    number: int
    ts: float  # seconds since 1970
    values: tuple[tuple[str, float], ...]  # finite
    said: str  # one line: the edit and what was decided


def facts_of(history: History) -> dict[str, str | int | float]:
    """Say what a campaign was started with and how it stands, in flat names."""
    record, settings = history.record, history.record.settings
    noise = measure_noise(record.baseline)
    incumbent = record.incumbent
    return {
        "campaign": one_line(history.name, limit=_LINE),
        "target": one_line(settings.name, limit=_LINE),
        "metric": one_line(settings.metric, limit=_LINE),
        "direction": settings.direction,
        "policy": one_line(settings.policy, limit=_LINE),
        "seed": settings.seed,
        "window": settings.window,
        "replicates": settings.replicates,
        "planned": settings.n_trials,
        "judged": len(record.trials),
        "kept": len(record.kept),
        **({"baseline_mean": noise.mean, "baseline_sd": noise.sd} if noise else {}),
        "incumbent": one_line(print_script(incumbent.script), limit=_LINE) if incumbent else "baseline",
        "isolation": one_line(", ".join(isolation_levels(record)), limit=_LINE),
        "stop_reason": one_line(record.stop_reason or "", limit=_LINE),
    }


def steps_of(history: History) -> Iterator[Step]:
    """Walk what is settled of a campaign, by the numbers of the trials."""
    for entry in history.settled:
        values = tuple((name, value) for name, value in _values(entry) if math.isfinite(value))
        yield Step(entry.number, history.ended(entry) or 0.0, values, _say(entry))


def _values(entry: Entry) -> Iterator[tuple[str, float]]:
    yield "metric", entry.metric
    yield "best", entry.best
    if entry.verdict is not None:
        yield "gain", entry.verdict.gain
        yield "z", entry.verdict.z
    if entry.reward is not None:
        yield "reward", entry.reward.total
        yield from ((f"reward/{_NAME.sub('_', name)}", value) for name, value in entry.reward.terms)
    yield "cost/wall_s", math.fsum(outcome.wall_s for outcome in entry.outcomes)
    yield "cost/cpu_s", math.fsum(outcome.cpu_s for outcome in entry.outcomes)
    yield "cost/peak_rss_gib", max((outcome.peak_rss_bytes for outcome in entry.outcomes), default=0) / _GIB


def _say(entry: Entry) -> str:
    if entry.verdict is None:
        return "baseline"
    return one_line(f"{entry.uri}: {entry.verdict.decision}: {entry.verdict.reason}", limit=_LINE)
