"""One flat row per trial and one per run, under stable names, for the formats that a program reads: jsonl and parquet.

The baseline is trial 0. A number that is not finite is null; a text is whole, as the trial printed it. The fields of a run are those of
harness.values.Outcome.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from harness.export.text import storable
from harness.values import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.export.history import Entry, History

Row = dict[str, object]


def campaign_row(history: History) -> Row:
    """Name the campaign, so that rows of many campaigns can stand in one table."""
    settings = history.record.settings
    return {
        "campaign": storable(history.name),
        "target": storable(settings.name),
        "policy": storable(settings.policy),
        "campaign_seed": settings.seed,
        "metric_name": storable(settings.metric),
        "direction": settings.direction,
    }


def trial_row(history: History, entry: Entry) -> Row:
    """Say what was tried, on what, and what was decided; null where it is the baseline or not judged."""
    verdict, parent = entry.verdict, entry.parent
    return {
        "trial": entry.number,
        "edit": _joined(edit.uri for edit in entry.script),
        "kind": _joined(edit.kind for edit in entry.script),
        "kind_version": entry.script[0].version if len(entry.script) == 1 else None,
        "site": _joined(edit.site for edit in entry.script),
        "anchor": _joined(edit.anchor for edit in entry.script),
        "parent": storable(parent.snapshot) if parent else None,
        "parent_trial": parent.number if parent else None,
        "snapshot": storable(entry.snapshot),
        "commit": entry.commit or None,
        "status": entry.status and entry.status.value,
        "decision": verdict and verdict.decision.value,
        "metric": number_or_null(entry.metric),
        "gain": number_or_null(verdict.gain) if verdict else None,
        "z": number_or_null(verdict.z) if verdict else None,
        "reason": storable(verdict.reason) if verdict else None,
        "reward": number_or_null(entry.reward.total) if entry.reward else None,
        "best": number_or_null(entry.best),
        "began_ts": history.began(entry),
        "ended_ts": history.ended(entry),
    }


def choice_row(entry: Entry) -> Row:
    """Say what was chosen: name -> value; from the second edit of a script on with the edit's place, as in `2.by`."""
    places = [f"{place}." if place > 1 else "" for place in range(1, len(entry.script) + 1)]
    return {
        storable(f"{place}{name}"): _value(value)
        for place, edit in zip(places, entry.script, strict=True)
        for name, value in edit.choice
    }


def terms_row(entry: Entry) -> Row:
    """Say what the reward is the sum of: name -> term."""
    return {storable(name): number_or_null(value) for name, value in entry.reward.terms} if entry.reward else {}


def run_row(outcome: Outcome) -> Row:
    """Say what one run did: the fields of an Outcome, with lists for its tuples and an object for its phases."""
    row = {field.name: _value(getattr(outcome, field.name)) for field in fields(Outcome)}
    return {**row, "phases": {storable(name): number_or_null(seconds) for name, seconds in outcome.phases}}


def number_or_null(value: float) -> float | None:
    """Return a number that JSON can say; None for one that is not finite."""
    return value if math.isfinite(value) else None


def _joined(texts: Iterable[str]) -> str | None:
    """Return what is said of each edit of a script; None of an empty script."""
    said = [storable(text) for text in texts]
    return " + ".join(said) if said else None


def _value(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return number_or_null(value) if isinstance(value, float) else value
