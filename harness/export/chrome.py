"""A Chrome trace of a campaign: ui.perfetto.dev and chrome://tracing open it.

One track for the controller, with a mark for every event of the ledger, and one per slot. A run is drawn as if it had ended when its event
was written: its phases lie end to end before that, or one span of its wall time where nothing was timed. A run that had to wait for
another to be counted first is drawn that much too late. The ledger does not say in which slot a run was, so runs are laid out
greedily, each into the first track that was free when it began; where two overlap by less than an event may come late, the
second is cut, not moved. Times count from the first event.

Source: "Trace Event Format", the JSON object format; times are in microseconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.export.history import BASELINE
from harness.export.rows import number_or_null
from harness.export.text import one_line, storable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.export.history import History, TimedRun

_CONTROLLER = 0  # its track; slots count from 1
_SLACK_S = 0.05  # what an event may come late: a synchronous commit takes 4-7 ms, and others may be written first
_SLACK_SHARE = 0.25  # of a short run


@dataclass(frozen=True, slots=True)
class _Run:
    """A run on the clock of the campaign, in seconds since its first event."""

    what: TimedRun
    start: float
    end: float


def write(history: History, path: Path) -> None:
    """Write the trace; it is ASCII."""
    trace = {"traceEvents": list(_events(history)), "displayTimeUnit": "ms"}
    path.write_text(json.dumps(trace, allow_nan=False), encoding="ascii")


def _events(history: History) -> Iterator[dict[str, object]]:
    tracks = _lay_out(sorted(_runs(history), key=lambda run: run.start))
    yield _name("process_name", _CONTROLLER, f"codegraft {storable(history.name)}")
    for track in range(len(tracks) + 1):
        yield _name("thread_name", track, f"slot {track}" if track else "controller")
        yield {**_name("thread_sort_index", track, ""), "args": {"sort_index": track}}
    yield from _marks(history)
    for track, runs in enumerate(tracks, start=1):
        for run in runs:
            yield from _spans(run, track)


def _marks(history: History) -> Iterator[dict[str, object]]:
    start = _first(history)
    for moment in history.moments:
        about = f" {moment.number}" if moment.number != BASELINE else ""
        about += f" run {moment.index}" if moment.type in ("run", "baseline") else ""
        mark = {"name": one_line(f"{moment.type}{about}", limit=80), "cat": "event", "ph": "i", "s": "t"}
        yield {**mark, "ts": _us(moment.ts - start), "pid": 1, "tid": _CONTROLLER}


def _runs(history: History) -> Iterator[_Run]:
    """Walk the runs that took time: what was refused or tried before has its mark alone."""
    first = _first(history)
    for run in history.runs():
        length = sum(seconds for _, seconds in run.outcome.phases) or run.outcome.wall_s
        if run.ts is not None and length > 0.0:
            yield _Run(run, run.ts - first - length, run.ts - first)


def _lay_out(runs: list[_Run]) -> list[list[_Run]]:
    tracks: list[list[_Run]] = []
    for run in runs:
        slack = min(_SLACK_S, _SLACK_SHARE * (run.end - run.start))
        free = next((track for track in tracks if track[-1].end <= run.start + slack), None)
        if free is None:
            tracks.append([run])
        else:
            free.append(replace(run, start=max(run.start, free[-1].end)))
    return tracks


def _spans(run: _Run, track: int) -> Iterator[dict[str, object]]:
    entry, outcome = run.what.entry, run.what.outcome
    number = f" {entry.number}" if entry.script else ""
    args: dict[str, object] = {
        "edit": storable(entry.uri) if entry.uri else None,
        "commit": entry.commit,
        "run": run.what.index,
        "seed": outcome.seed,
        "status": outcome.status.value,
        "metric": number_or_null(outcome.metric),
        "decision": entry.verdict.decision.value if entry.verdict else None,
        "detail": one_line(outcome.detail, limit=200),
        "steps": outcome.steps,
        "cpu_s": number_or_null(outcome.cpu_s),
        "peak_rss_bytes": outcome.peak_rss_bytes,
    }
    yield _span(
        one_line(f"{run.what.role}{number} run {run.what.index}", limit=80), "run", track, (run.start, run.end), args
    )
    end = run.end
    for phase, seconds in reversed(outcome.phases):
        start = max(run.start, end - seconds)
        yield _span(one_line(phase, limit=80), "phase", track, (start, end), {})
        end = start


def _span(name: str, category: str, track: int, at: tuple[float, float], args: dict[str, object]) -> dict[str, object]:
    start, end = _us(at[0]), _us(at[1])
    return {
        "name": name, "cat": category, "ph": "X", "ts": start, "dur": end - start, "pid": 1, "tid": track, "args": args,
    }  # fmt: skip


def _name(what: str, track: int, name: str) -> dict[str, object]:
    return {"name": what, "ph": "M", "pid": 1, "tid": track, "args": {"name": name}}


def _first(history: History) -> float:
    return history.moments[0].ts if history.moments else 0.0


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
