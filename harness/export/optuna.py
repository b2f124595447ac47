"""An Optuna study in one SQLite file, for optuna-dashboard and for samplers that want to start from what is known.

An edit becomes the parameters `kind` and `site`, and one for each thing that the kind lets one choose (`scale-literal.by`): numbers with
the range that was tried, all else as a category. Those of a script's second edit begin with `2.`. The baseline is a trial without
parameters. Without a metric a trial has failed; it is pruned when the stopping rule ended it or when the program had been tried before.
Optuna's best trial is the best value, proven or not: the user attribute `verdict` says which it is, and `trial` is the number in the
ledger, which has gaps.
"""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from harness.export.steps import facts_of
from harness.export.text import one_line
from harness.values import Status
from mutator.edit import print_scalar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.export.history import Entry, History
    from mutator.edit import Scalar

_Values = dict[str, "Scalar"]

_TEXT = 500  # characters that a page shows
_EXACT = 1 << 53  # Optuna stores numbers as floats


def write(history: History, path: Path) -> None:
    """Write the file."""
    import optuna  # noqa: PLC0415 - an extra
    from sqlalchemy import URL  # noqa: PLC0415 - comes with Optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = URL.create("sqlite", database=str(path.absolute())).render_as_string()
    storage = optuna.storages.RDBStorage(url)
    try:
        name, direction = one_line(history.name, limit=_TEXT), history.record.settings.direction
        study = optuna.create_study(storage=storage, study_name=name, direction=direction)
        for name, value in facts_of(history).items():
            study.set_user_attr(name, value)
        entries = history.settled
        params = [_params(entry) for entry in entries]
        tried: defaultdict[str, list[Scalar]] = defaultdict(list)
        for each in params:
            for name, value in each.items():
                tried[name].append(value)
        known = {name: _distribution(values) for name, values in tried.items()}
        study.add_trials([_trial(history, entry, each, known) for entry, each in zip(entries, params, strict=True)])
    finally:
        storage.engine.dispose()


def _params(entry: Entry) -> _Values:
    params: _Values = {}
    for place, edit in enumerate(entry.script, start=1):
        prefix, kind = f"{place}." if place > 1 else "", one_line(edit.kind, limit=_TEXT)
        params |= {f"{prefix}kind": kind, f"{prefix}site": one_line(edit.site, limit=_TEXT)}
        params |= {f"{prefix}{kind}.{one_line(name, limit=_TEXT)}": value for name, value in edit.choice}
    return params


def _distribution(values: Sequence[Scalar]) -> Any:  # noqa: ANN401 - a class of an extra
    from optuna.distributions import (  # noqa: PLC0415 - an extra
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    numbers = [value for value in values if _is_number(value)]
    if len(numbers) < len(values):
        return CategoricalDistribution(sorted({_category(value) for value in values}))
    whole = all(isinstance(value, int) for value in numbers)
    return (IntDistribution if whole else FloatDistribution)(min(numbers), max(numbers))


def _is_number(value: Scalar) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < _EXACT
    )


def _category(value: Scalar) -> str:
    return one_line(print_scalar(value), limit=_TEXT)


def _trial(history: History, entry: Entry, params: _Values, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a class of an extra
    from optuna.distributions import CategoricalDistribution  # noqa: PLC0415 - an extra
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415 - an extra

    is_measured = math.isfinite(entry.metric)
    unfinished = TrialState.PRUNED if entry.status in (Status.STOPPED, Status.DUPLICATE) else TrialState.FAIL
    curve = entry.outcomes[0].curve if entry.outcomes else ()
    distributions = {name: known[name] for name in params}
    trial = create_trial(
        state=TrialState.COMPLETE if is_measured else unfinished,
        value=entry.metric if is_measured else None,
        params={
            name: _category(value) if isinstance(known[name], CategoricalDistribution) else value
            for name, value in params.items()
        },
        distributions=distributions,
        intermediate_values={step: value for step, value in enumerate(curve, start=1) if math.isfinite(value)},
        user_attrs=_attributes(entry),
    )
    trial.datetime_start, trial.datetime_complete = (
        datetime.fromtimestamp(ts) if ts is not None else None for ts in (history.began(entry), history.ended(entry))
    )
    return trial


def _attributes(entry: Entry) -> dict[str, str | int | float]:
    shown: dict[str, str | int | float] = {"trial": entry.number, "commit": entry.commit, "status": str(entry.status)}
    if entry.uri is None or entry.verdict is None:
        return {**shown, "edit": "baseline"}
    numbers = {"gain": entry.verdict.gain, "z": entry.verdict.z}
    if entry.reward is not None:
        numbers |= {"reward": entry.reward.total, **{f"reward.{name}": value for name, value in entry.reward.terms}}
    return {
        **shown,
        "edit": one_line(entry.uri, limit=_TEXT),
        "verdict": entry.verdict.decision.value,
        "reason": one_line(entry.verdict.reason, limit=_TEXT),
        **{one_line(name, limit=_TEXT): value for name, value in numbers.items() if math.isfinite(value)},
    }
