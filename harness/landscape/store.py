"""A landscape as one Parquet file: a row per run, what it was made with and what was fitted to it in its metadata.

Numbers keep six significant digits. Scripts are lists of addresses, which Parquet stores once each; so thousands of runs take a few ten
kilobytes. `weight` is what the fitted surrogate gives a script (harness.landscape.surrogate), on the first of its rows.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graph.complexity import Complexity
from harness.landscape.link import Link
from harness.landscape.model import Model
from harness.landscape.noise import Noise
from harness.landscape.surrogate import Error, Surrogate
from harness.landscape.table import Environment, Provenance, Row, Stage, Table, status_named
from harness.values import TrialError
from targets.manifest import Direction
from targets.shipped import LANDSCAPES, shipped_landscapes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.landscape.table import Script

_KEY = b"codegraft.landscape"
_FORMAT = 3  # of the file; a higher one is refused by an older codegraft
_DIGITS = 6


def find_landscape(name: str) -> Path:
    """Return the file that a person means: a path, else a landscape that ships with codegraft.

    Raises: TrialError: it is neither.
    """
    for path in (Path(name), LANDSCAPES / f"{name}.parquet"):
        if path.is_file():
            return path
    shipped = ", ".join(shipped_landscapes()) or "none yet"
    raise TrialError(f"{name}: is no file, and no landscape that ships with codegraft: {shipped}")


def write_landscape(path: Path, table: Table, model: Model) -> None:
    """Write a table and what was fitted to it, in one step.

    Raises: TrialError: pyarrow is not installed.
    """
    pyarrow, parquet = _arrow()
    words, rows = pyarrow.dictionary(pyarrow.int16(), pyarrow.string()), table.rows
    script = pyarrow.list_(pyarrow.string())
    columns = {
        "stage": pyarrow.array([str(row.stage) for row in rows]).cast(words),
        "script": pyarrow.array([list(row.script) for row in rows], script),
        "seed": pyarrow.array([row.seed for row in rows], pyarrow.int16()),
        "status": pyarrow.array([str(row.status) for row in rows]).cast(words),
        "metric": _numbers([row.metric for row in rows], pyarrow.float64()),
        "cpu_s": _numbers([row.cpu_s for row in rows], pyarrow.float32(), digits=3),
        "distance": _numbers([row.distance for row in rows], pyarrow.float32(), digits=4),
        **{
            name: pyarrow.array([getattr(row.grown, name) for row in rows], pyarrow.int32())
            for name in ("cyclomatic", "cognitive", "nodes")
        },
        "same_as": pyarrow.array([None if row.same_as is None else list(row.same_as) for row in rows], script),
        "weight": _numbers(_on_first_rows(rows, model.given), pyarrow.float64(), digits=9),
    }
    facts = {
        "format": _FORMAT,
        "provenance": asdict(table.provenance),
        "environments": [asdict(each) for each in table.environments],
        "noise": asdict(model.noise),
        "surrogate": asdict(model.surrogate),
    }
    written = pyarrow.table(columns).replace_schema_metadata({_KEY: json.dumps(facts)})
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        parquet.write_table(written, draft, compression="zstd", compression_level=19)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_landscape(path: Path) -> tuple[Table, Model]:
    """Read what `write_landscape` wrote.

    Raises: TrialError: the file is no landscape, or of a newer codegraft, or damaged; pyarrow is not installed.
    """
    pyarrow, parquet = _arrow()
    try:
        read = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise TrialError(
            f"{path}: is no Parquet file ({said}); name one that `codegraft landscape build` wrote"
        ) from error
    metadata = (read.schema.metadata or {}).get(_KEY)
    if metadata is None:
        raise TrialError(f"{path}: is Parquet, but no landscape; name one that `codegraft landscape build` wrote")
    try:
        facts = json.loads(metadata)
        if facts["format"] != _FORMAT:
            raise TrialError(
                f"{path}: is of format {facts['format']}, and this codegraft reads {_FORMAT}; install its version"
            )
        return _table(facts, read.to_pydict()), _model(facts, read.to_pydict())
    except (ValueError, KeyError, TypeError) as error:
        raise TrialError(f"{path}: is a damaged landscape ({error!r}); build it again") from error


def _table(facts: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> Table:
    provenance = {**facts["provenance"], "direction": Direction(facts["provenance"]["direction"])}
    rows = [
        Row(
            Stage(stage),
            tuple(script),
            seed,
            status_named(status),
            math.nan if metric is None else metric,
            cpu_s,
            math.nan if distance is None else distance,
            Complexity(*grown),
            None if same is None else tuple(same),
        )
        for stage, script, seed, status, metric, cpu_s, distance, *grown, same in zip(
            *(columns[name] for name in ("stage", "script", "seed", "status", "metric", "cpu_s", "distance")),
            *(columns[name] for name in ("cyclomatic", "cognitive", "nodes", "same_as")),
            strict=True,
        )
    ]
    return Table(Provenance(**provenance), tuple(Environment(**each) for each in facts["environments"]), tuple(rows))


def _model(facts: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> Model:
    noise = {**facts["noise"], "seeds": tuple((seed, effect) for seed, effect in facts["noise"]["seeds"])}
    fitted = facts["surrogate"]
    surrogate = Surrogate(
        Link(**fitted["link"]),
        tuple(fitted["weights"]),
        fitted["own"],
        tuple(tuple(map(tuple, each)) for each in fitted["residuals"]),
        tuple(Error(**error) for error in fitted["errors"]),
    )
    given = {
        tuple(script): weight
        for script, weight in zip(columns["script"], columns["weight"], strict=True)
        if weight is not None
    }
    return Model(Noise(**noise), surrogate, given)


def _on_first_rows(rows: Sequence[Row], given: Mapping[Script, float]) -> list[float]:
    left = dict(given)
    return [left.pop(row.script, math.nan) for row in rows]


def _numbers(values: Sequence[float], type_: Any, *, digits: int = _DIGITS) -> Any:  # noqa: ANN401 - pyarrow has no types
    pyarrow, _ = _arrow()
    rounded = [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]
    return pyarrow.array(rounded, type_)


def _arrow() -> tuple[Any, Any]:
    """Import pyarrow, an extra."""
    if find_spec("pyarrow") is None:
        raise TrialError('landscape: pyarrow is not installed; pip install "codegraft[parquet]"')
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    return pyarrow, parquet
