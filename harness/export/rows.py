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
    edit, verdict = entry.edit, entry.verdict
    return {
        "trial": entry.number,
        "edit": storable(edit.uri) if edit else None,
        "kind": storable(edit.kind) if edit else None,
        "kind_version": edit.version if edit else None,
        "site": storable(edit.site) if edit else None,
        "anchor": storable(edit.anchor) if edit else None,
        "parent": storable(entry.parent) or None,
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
    """Say what was chosen: name -> value."""
    choice = entry.edit.choice if entry.edit else ()
    return {storable(name): _value(value) for name, value in choice}


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


def _value(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return number_or_null(value) if isinstance(value, float) else value
