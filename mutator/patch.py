"""Patch: the bytes that an edit changes, and nothing else.

A patch is a set of replacements per file, sorted and non-overlapping, each with the bytes that it expects to find. It applies whole or
not at all, inverts exactly, composes, and prints as a unified diff. Two replacements that touch the same bytes are a conflict and
an error: a patch never drops one of them.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mutator.edit import EditError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, order=True)
class Replacement:
    """Put `new` where `expect` stands at [start, start + len(expect)); an empty `expect` is an insertion. Offsets in bytes."""

    start: int
    expect: bytes
    new: bytes

    @property
    def end(self) -> int:
        """The offset after the last replaced byte."""
        return self.start + len(self.expect)


@dataclass(frozen=True, slots=True)
class Patch:
    """Path -> replacements, both sorted."""

    files: tuple[tuple[str, tuple[Replacement, ...]], ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the patch changes."""
        return tuple(path for path, _ in self.files)

    def apply(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return path -> new bytes for the changed files alone.

        Raises: EditError: a file is missing or does not hold the expected bytes.
        """
        return {path: _splice(path, files.get(path), replacements) for path, replacements in self.files}

    def invert(self) -> Patch:
        """Return the patch that undoes this one on the patched files."""
        return Patch(tuple((path, _inverse(replacements)) for path, replacements in self.files))

    def unified_diff(self, files: Mapping[str, bytes]) -> str:
        """Print the change against the files that it applies to, in git's format."""
        return "".join(_diff(path, files[path], new) for path, new in self.apply(files).items())


def make_patch(replacements: Iterable[tuple[str, Replacement]]) -> Patch:
    """Collect replacements planned on one snapshot into a patch; a replacement that changes nothing is left out.

    Raises: EditError: two of them touch the same bytes.
    """
    by_path: defaultdict[str, list[Replacement]] = defaultdict(list)
    for path, replacement in replacements:
        if replacement.new != replacement.expect:
            by_path[path].append(replacement)
    for path, found in by_path.items():
        found.sort()
        for first, second in pairwise(found):
            if _overlap(first, second):
                raise EditError(
                    f"{path}: two replacements touch byte {second.start}; apply the edits one after the other"
                )
    return Patch(tuple((path, tuple(found)) for path, found in sorted(by_path.items())))


def compose(first: Patch, second: Patch, files: Mapping[str, bytes]) -> Patch:
    """Return one patch on `files` that does what `first` and then `second` do: one replacement a file, from first to last changed byte.

    Raises: EditError: `second` does not apply after `first`.
    """
    middle = {**files, **first.apply(files)}
    return difference(files, {**middle, **second.apply(middle)})


def difference(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Patch:
    """Return the patch from one version of some files to another: one replacement a file, from first to last changed byte."""
    return make_patch((path, _changed_run(old[path], new[path])) for path in sorted(old) if old[path] != new[path])


def _overlap(first: Replacement, second: Replacement) -> bool:
    """Two insertions at one place have no order; an insertion at the edge of a replaced run has."""
    return second.start < first.end or (first.start == second.start and not first.expect and not second.expect)


def _splice(path: str, data: bytes | None, replacements: tuple[Replacement, ...]) -> bytes:
    if data is None:
        raise EditError(f"{path}: is not in the snapshot; the patch was made for other sources")
    parts: list[bytes] = []
    position = 0
    for replacement in replacements:
        found = data[replacement.start : replacement.end]
        if found != replacement.expect or replacement.start > len(data):
            raise EditError(
                f"{path}: byte {replacement.start} holds {found!r}, the patch expects {replacement.expect!r}"
            )
        parts += (data[position : replacement.start], replacement.new)
        position = replacement.end
    return b"".join((*parts, data[position:]))


def _inverse(replacements: tuple[Replacement, ...]) -> tuple[Replacement, ...]:
    shift, inverse = 0, []
    for replacement in replacements:
        inverse.append(Replacement(replacement.start + shift, replacement.new, replacement.expect))
        shift += len(replacement.new) - len(replacement.expect)
    return tuple(inverse)


def _changed_run(old: bytes, new: bytes) -> Replacement:
    shortest = min(len(old), len(new))
    head = next((i for i in range(shortest) if old[i] != new[i]), shortest)
    tail = next((i for i in range(shortest - head) if old[-1 - i] != new[-1 - i]), shortest - head)
    return Replacement(head, old[head : len(old) - tail], new[head : len(new) - tail])


def _diff(path: str, old: bytes, new: bytes) -> str:
    before, after = (re.findall(r"[^\n]*\n|[^\n]+", data.decode("utf-8", "surrogateescape")) for data in (old, new))
    lines = difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
