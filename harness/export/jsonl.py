"""JSON Lines, one trial a line with everything that the ledger has of it: for jq, pandas.read_json(lines=True), DuckDB.

Line 1 is the baseline, as trial 0. Trials that are not judged yet are there, with nulls. An incumbent has its rechecks and
its last evaluation as well.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.export.rows import campaign_row, choice_row, run_row, terms_row, trial_row
from harness.export.text import storable

if TYPE_CHECKING:
    from pathlib import Path

    from harness.export.history import Entry, History


def write(history: History, path: Path) -> None:
    """Write the lines; they are ASCII."""
    path.write_text("".join(f"{_line(history, entry)}\n" for entry in history.entries), encoding="ascii", newline="\n")


def _line(history: History, entry: Entry) -> str:
    row = {
        **campaign_row(history),
        **trial_row(history, entry),
        "choice": choice_row(entry),
        "terms": terms_row(entry),
        "outcomes": [run_row(outcome) for outcome in entry.outcomes],
        "rechecks": [
            {"incumbent": run_row(each.incumbent), "baseline": run_row(each.baseline)}
            for each in history.rechecks(entry)
        ],
        "finals": [
            {"role": storable(each.role), "scoring": each.scoring.value, "outcome": run_row(each.outcome)}
            for each in history.finals(entry)
        ],
    }
    return json.dumps(row, allow_nan=False)
