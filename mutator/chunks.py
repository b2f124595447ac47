"""Chunks: a file cut where it may be cut, so that an edit is checked in the few lines that it changes.

A chunk is a top-level statement, or a member of a top-level class, with the lines up to the next one; the header of a class is one too.
Each compiles by itself: a member below a class without a name and behind another member, a header with an empty body. `touched` says
which chunks a patch changes and what they become; what is derived from a chunk's text (its tree, its names) is kept by that text, so it
costs nothing while the text stays.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from mutator.layout import BOM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.syntax import Cut, FileSyntax
    from mutator.patch import Replacement

_CACHED = 4096
_MEMBER = b"class _:\n"
_EMPTY = b"pass\n"
_LOOK = 4096  # bytes: far enough for the next line with text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of chunks before and after a patch, as code that compiles by itself, with the replaced bytes in each.

    `shift` is what to add to an offset in the old code to get one in the file.
    """

    path: str
    old: bytes
    new: bytes
    replacements: tuple[Replacement, ...]  # offsets in `old`
    shift: int
    member: bool  # of a class


def touched(file: FileSyntax, replacements: Sequence[Replacement]) -> Iterator[Chunk]:
    """Walk the runs of chunks that the replacements of one file change, in source order."""
    cuts = file.cuts
    starts = [cut.start for cut in cuts]
    runs: list[tuple[int, int, list[Replacement]]] = []
    for r in replacements:
        first, last = _reach(file.data, cuts, starts, r)
        if runs and first <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(last, runs[-1][1]), [*runs[-1][2], r])
        else:
            runs.append((first, last, [r]))
    for first, last, found in runs:
        yield _chunk(file, cuts, (first, last), found)


def _reach(data: bytes, cuts: Sequence[Cut], starts: Sequence[int], r: Replacement) -> tuple[int, int]:
    """Return the first and last chunk that a replacement changes; an insertion between two belongs where its indentation puts it."""
    first = bisect_right(starts, r.start) - 1
    if (
        not r.expect
        and first > 0
        and r.start == starts[first]
        and len(_indentation(r.new, 0)) > len(_indentation(data, r.start))
    ):
        first -= 1
    return first, max(first, bisect_right(starts, max(r.start, r.end - 1)) - 1)


def _chunk(file: FileSyntax, cuts: Sequence[Cut], run: tuple[int, int], replacements: Sequence[Replacement]) -> Chunk:
    """Return a run as code: all of one level as it is, else with the whole of each class that it cuts."""
    first, last = run
    owners = {cut.owner for cut in cuts[first : last + 1]}
    if len(owners) > 1:
        while cuts[first].owner >= 0 and not cuts[first].header:
            first -= 1
        while last + 1 < len(cuts) and cuts[last].owner >= 0 and cuts[last + 1].owner == cuts[last].owner:
            last += 1
    start = cuts[first].start
    end = cuts[last + 1].start if last + 1 < len(cuts) else len(file.data)
    member = len(owners) == 1 and cuts[first].owner >= 0 and not cuts[first].header
    bare = cuts[last].header and (last + 1 == len(cuts) or cuts[last + 1].owner == cuts[last].owner)
    before = _MEMBER + _indentation(file.data, start) + _EMPTY if member else b""
    old, new, position, shifted = [before], [before], start, []
    for r in replacements:
        old += (file.data[position : r.start], r.expect)
        new += (file.data[position : r.start], r.new)
        shifted.append(replace(r, start=r.start - start + len(before)))
        position = r.end
    rest = file.data[position:end] + (_indentation(file.data, end) + _EMPTY if bare and last + 1 < len(cuts) else b"")
    return Chunk(file.path, b"".join((*old, rest)), b"".join((*new, rest)), tuple(shifted), start - len(before), member)


def _indentation(data: bytes, start: int) -> bytes:
    """Return the indentation of the first line with text."""
    line = next((line for line in data[start : start + _LOOK].split(b"\n") if line.strip()), b" ")
    return line[: len(line) - len(line.lstrip(b" \t"))]


class Read(NamedTuple):
    """The tree of some code, and where its lines start in it."""

    tree: ast.Module
    lines: tuple[int, ...]


@lru_cache(maxsize=_CACHED)
def read_code(code: bytes) -> Read:
    """Parse code once.

    Raises: SyntaxError, ValueError, RecursionError: it does not parse.
    """
    bom = len(BOM) if code.startswith(BOM) else 0  # columns of the first line do not count it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in a target is the target's affair
        tree = ast.parse(code)
    lines = code[bom:].splitlines(keepends=True)
    return Read(tree, tuple(accumulate(map(len, lines), initial=bom)))
