"""Two Parquet tables: trials.parquet, a row per trial with the baseline as trial 0, and runs.parquet, a row per run.

Both are flat, so that they can be grouped and plotted as they are; `campaign` and `trial` join them, and `role` says what a run was for.
Terms of the reward and phases of a run are columns of their own (`term_metric`, `phase_train_s`), null where a row has none; a choice is
JSON. A number that is not finite is null. Types are fixed: an empty campaign has the same columns.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

from harness.export.rows import Row, campaign_row, choice_row, run_row, terms_row, trial_row
from harness.export.text import storable
from harness.values import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.export.history import History

_INTEGERS = frozenset({"campaign_seed", "trial", "parent_trial", "kind_version", "run", "n_runs"})
_NUMBERS = frozenset({"metric", "gain", "z", "reward", "best", "began_ts", "ended_ts"})
_TYPES = {"float": "double", "int": "int64", "tuple[float, ...]": "list"}  # all else is text: str and its enums


def write(history: History, path: Path) -> None:
    """Write both tables into a folder."""
    names = campaign_row(history)
    trials: list[Row] = []
    for entry in history.entries:
        terms = {f"term_{name}": value for name, value in terms_row(entry).items()}
        choice = json.dumps(choice_row(entry), allow_nan=False)
        trials.append({**names, **trial_row(history, entry), "choice": choice, "n_runs": len(entry.outcomes), **terms})
    runs = [
        {
            **names,
            "trial": run.entry.number,
            "role": storable(run.role),
            "run": run.index,
            **_flat(run_row(run.outcome)),
        }
        for run in history.runs()
    ]
    _write_table(trials, _trial_types(trials), path / "trials.parquet")
    _write_table(runs, _run_types(names, runs), path / "runs.parquet")


def _flat(run: Row) -> Row:
    phases = run.pop("phases")
    assert isinstance(phases, dict)
    return {**run, **{f"phase_{name}_s": seconds for name, seconds in phases.items()}}


def _trial_types(trials: Sequence[Row]) -> dict[str, str]:
    """Return column -> type; the baseline's row has all columns but those of the terms."""
    fixed = {name: _type(name) for name in trials[0]}
    return fixed | dict.fromkeys(_more(trials, fixed), "double")


def _run_types(names: Row, runs: Sequence[Row]) -> dict[str, str]:
    """Return column -> type; a failed campaign has no row that could say them."""
    known = {field.name: _TYPES.get(str(field.type), "string") for field in fields(Outcome) if field.name != "phases"}
    fixed = {name: _type(name) for name in (*names, "trial", "role", "run")} | known
    return fixed | dict.fromkeys(_more(runs, fixed), "double")


def _type(name: str) -> str:
    return "int64" if name in _INTEGERS else "double" if name in _NUMBERS else "string"


def _more(rows: Sequence[Row], known: dict[str, str]) -> list[str]:
    return sorted({name for row in rows for name in row} - known.keys())


def _write_table(rows: Sequence[Row], types: dict[str, str], path: Path) -> None:
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    arrow = {
        name: pyarrow.list_(pyarrow.float64()) if type_ == "list" else pyarrow.type_for_alias(type_)
        for name, type_ in types.items()
    }
    columns = {name: pyarrow.array([row.get(name) for row in rows], type_) for name, type_ in arrow.items()}
    parquet.write_table(pyarrow.table(columns, pyarrow.schema(list(arrow.items()))), path, compression="zstd")
