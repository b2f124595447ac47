"""Unified diffs between two program versions of a campaign, as lines a page can colour."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LINES_SHOWN = 800  # per file; a longer diff is cut and says so, since one rewritten data file must not bury a report
_CLASSES = {"+": "add", "-": "del", "@": "hunk"}


@dataclass(frozen=True, slots=True)
class FileDiff:
    """What changed in one file."""

    path: str
    lines: tuple[tuple[str, str], ...]  # (css class or "", text)
    cut: bool

    @property
    def added(self) -> int:
        """How many shown lines are new."""
        return sum(kind == "add" for kind, _ in self.lines)

    @property
    def removed(self) -> int:
        """How many shown lines are gone."""
        return sum(kind == "del" for kind, _ in self.lines)


def diff_files(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[FileDiff, ...]:
    """Compare two versions of the sources, file by file; equal files are left out."""
    paths = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
    return tuple(_diff_file(path, old.get(path), new.get(path)) for path in paths)


def _diff_file(path: str, old: bytes | None, new: bytes | None) -> FileDiff:
    changes = unified_diff(_lines(old), _lines(new), _name("a", path, old), _name("b", path, new), lineterm="")
    lines = tuple(islice(_classify(changes), LINES_SHOWN + 1))
    return FileDiff(path, lines[:LINES_SHOWN], cut=len(lines) > LINES_SHOWN)


def _lines(data: bytes | None) -> list[str]:
    # Split at "\n" alone: form feeds and Unicode separators inside a line are content, and a reviewer must see them as such.
    if not data:
        return []
    *lines, rest = data.decode(errors="backslashreplace").split("\n")
    return [*lines, rest, "\\ No newline at end of file"] if rest else lines


def _name(side: str, path: str, data: bytes | None) -> str:
    return "/dev/null" if data is None else f"{side}/{path}"


def _classify(changes: Iterator[str]) -> Iterator[tuple[str, str]]:
    for index, line in enumerate(changes):
        # The first two lines name the files; a removed line that starts with "--" looks like them but comes later.
        yield ("file" if index < 2 else _CLASSES.get(line[0], "")), line
