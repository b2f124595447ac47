"""The record of a build: JSON lines beside its output, one per row, so that a build goes on after it was killed.

Each session begins with a line that says what it measures with. A line that a kill cut short is dropped; what it held runs again.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Self

from graph.complexity import Complexity
from harness.landscape.table import Environment, Provenance, Row, Stage, Table, status_named
from harness.values import TrialError
from targets.manifest import Direction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Journal:
    """Rows that are written as they come. It belongs to one build at a time."""

    def __init__(self, path: Path, provenance: Provenance, environment: Environment) -> None:
        """Go on with a record, or begin one.

        Raises: TrialError: the record is of other sources, another manifest, grammar or seed, or is no record.
        """
        self._path, self._rows, self._digests = path, list[Row](), dict[str, tuple[str, ...]]()
        self._environments = dict[Environment, None]()
        self._provenance = provenance
        whole = _whole_lines(path)
        for number, line in enumerate(whole.splitlines(), 1):
            self._read(number, line)
        self._environments[environment] = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("r+b" if path.is_file() else "wb")
        self._file.truncate(len(whole))
        self._file.seek(0, 2)
        self._write({"provenance": asdict(provenance), "environment": asdict(environment)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, as they came."""
        return tuple(self._rows)

    @property
    def table(self) -> Table:
        """What is known so far, in an order that does not depend on which run ended first."""
        stages = list(Stage)
        order = sorted(
            self._rows, key=lambda row: (stages.index(row.stage), row.script, row.seed is None, row.seed or 0)
        )
        return Table(self._provenance, tuple(self._environments), tuple(order))

    def script_of(self, digest: str) -> tuple[str, ...] | None:
        """Return the first script that made the program of that digest."""
        return self._digests.get(digest)

    def claim(self, digest: str, script: tuple[str, ...]) -> None:
        """Say that a script makes the program of that digest, before it runs."""
        self._digests.setdefault(digest, script)

    def add(self, row: Row, digest: str = "") -> None:
        """Write a row down. digest: of its program, if it has one of its own."""
        self._note(row, digest)
        metric, distance = (None if math.isnan(value) else value for value in (row.metric, row.distance))
        self._write({**asdict(row), "metric": metric, "distance": distance, "digest": digest})

    def _write(self, entry: Mapping[str, object]) -> None:
        self._file.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def _read(self, number: int, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if "provenance" in entry:
                began = Provenance(**{**entry["provenance"], "direction": Direction(entry["provenance"]["direction"])})
                self._environments[Environment(**entry["environment"])] = None
                refuse_other(self._path, began, self._provenance)
                return
            digest, metric, distance = entry.pop("digest"), entry.pop("metric"), entry.pop("distance")
            row = Row(
                **{
                    **entry,
                    "stage": Stage(entry["stage"]),
                    "script": tuple(entry["script"]),
                    "status": status_named(entry["status"]),
                    "grown": Complexity(**entry["grown"]),
                    "same_as": None if entry["same_as"] is None else tuple(entry["same_as"]),
                    "metric": math.nan if metric is None else metric,
                    "distance": math.nan if distance is None else distance,
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrialError(
                f"{self._path}: line {number} is no row of a build ({error}); name another --out"
            ) from error
        self._note(row, digest)

    def _note(self, row: Row, digest: str) -> None:
        self._rows.append(row)
        if digest:
            self._digests.setdefault(digest, row.script)


def refuse_other(path: Path, began: Provenance, now: Provenance) -> None:
    """Let through what was measured with the same.

    Raises: TrialError: it is of other sources, another manifest, grammar or seed.
    """
    differences = [*began.differences(now), *(["seed"] if began.seed != now.seed else [])]
    if began.target != now.target:
        differences.insert(0, "target")
    if differences:
        raise TrialError(
            f"{path}: was begun with another {' and '.join(differences)}; name another --out, or begin again without it"
        )


def _whole_lines(path: Path) -> bytes:
    """Return the file up to its last newline."""
    data = path.read_bytes() if path.is_file() else b""
    return data[: data.rfind(b"\n") + 1]
