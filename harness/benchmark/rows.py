"""The rows of results.jsonl: each is there as soon as it is made, and what is there is not made again."""

from __future__ import annotations

import json
import lzma
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    Key = tuple[str, str, int, int]  # task or target, policy, seed, number of trials


class Row(Protocol):
    """A dataclass of what one walk or campaign found."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> Key:
        """What it is of; two rows with one key are of the same."""
        ...


R = TypeVar("R", bound=Row)


def read_rows(path: Path, kind: type[R]) -> Iterator[R]:
    """Read rows, from a file that may be compressed; none where there is no file.

    Raises: TrialError: a line says something else.
    """
    if not path.exists():
        return
    row = TypeAdapter(kind)
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield row.validate_json(line, strict=True)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"])) or "the line"
                raise TrialError(f"{path}:{number}: {where}: {first['msg']}; take the line out") from None


def known_rows(path: Path, kind: type[R], keys: Collection[Key]) -> dict[Key, R]:
    """Return which of these a file has. Raises: as read_rows."""
    wanted = {*keys}
    return {row.key: row for row in read_rows(path, kind) if row.key in wanted}


def add_rows(path: Path, rows: Iterable[R]) -> Iterator[R]:
    """Add rows to a file as they come, and yield them."""
    with path.open("a", buffering=1) as file:
        for row in rows:
            file.write(json.dumps(asdict(row)) + "\n")
            yield row
