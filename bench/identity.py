"""Measure over real commits whether the key of an unchanged statement stays, and still means the same statement.

`python -m bench.identity GIT_DIR ...` samples pairs (a Python file before and after a commit that modified it). A statement is unchanged
when the line diff keeps all its lines; its true counterpart stands on the matching line, at the same column. A key is kept when it names
that counterpart in the new file, wrong when it names another statement, else lost. Line and column, and the slot, are there to compare.
"""

from __future__ import annotations

import random
import subprocess
import sys
from argparse import ArgumentParser
from bisect import bisect
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from graph.identity import statement_keys
from graph.walk import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Pair(NamedTuple):
    """A file before and after a commit, by the names of its blobs."""

    path: str
    before: str
    after: str


class Statement(NamedTuple):
    """Where a statement stands, lines from 0."""

    first: int
    last: int
    column: int
    key: str
    slot: str

    @property
    def place(self) -> tuple[int, int]:
        """What line and column alone say of it."""
        return self.first, self.column


@dataclass(slots=True)
class Tally:
    """How one kind of name fared."""

    kept: int = 0
    wrong: int = 0
    lost: int = 0

    def add(self, found: Statement | None, true: Statement) -> None:
        """Count one unchanged statement: what its old name finds, and what it should find."""
        self.kept += found == true
        self.wrong += found is not None and found != true
        self.lost += found is None

    def __str__(self) -> str:
        """Say the shares."""
        total = max(1, self.kept + self.wrong + self.lost)
        return f"kept {self.kept / total:.4f}  wrong {self.wrong / total:.4f}  lost {self.lost / total:.4f}"


@dataclass(slots=True)
class Study:
    """The tallies of one repository."""

    names: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in ("key", "slot", "line:column")})
    pairs: int = 0
    unchanged: int = 0
    changed: int = 0
    mistaken: list[str] = field(default_factory=list)  # keys that are wrong or lost, for a person to look at

    def add(self, path: str, before: bytes, after: bytes) -> None:
        """Compare the names in two versions of a file."""
        old, new = tuple(_statements(path, before)), tuple(_statements(path, after))
        lines = _matching_lines(before, after)
        at = {statement.place: statement for statement in new}
        by_key, by_slot = {one.key: one for one in new}, {one.slot: one for one in new}
        self.pairs += 1
        for one in old:
            true = _counterpart(one, lines, at)
            if true is None:
                self.changed += 1
                continue
            self.unchanged += 1
            self.names["key"].add(by_key.get(one.key), true)
            self.names["slot"].add(by_slot.get(one.slot), true)
            self.names["line:column"].add(at.get(one.place), true)
            if by_key.get(one.key) != true:
                self.mistaken.append(f"{path}:{one.first + 1} {one.key}")


def _statements(path: str, data: bytes) -> Iterator[Statement]:
    starts = [0, *(at + 1 for at, byte in enumerate(data) if byte == ord("\n"))]
    for key, node in statement_keys(read_file(path, data)).items():
        first, last = (bisect(starts, at) - 1 for at in (node.start, max(node.start, node.end - 1)))
        yield Statement(first, last, node.start - starts[first], key, node.slot)


def _matching_lines(before: bytes, after: bytes) -> dict[int, int]:
    blocks = SequenceMatcher(None, before.split(b"\n"), after.split(b"\n"), autojunk=False).get_matching_blocks()
    return {block.a + at: block.b + at for block in blocks for at in range(block.size)}


def _counterpart(one: Statement, lines: Mapping[int, int], at: Mapping[tuple[int, int], Statement]) -> Statement | None:
    """Find an unchanged statement in the new file; None when any of its lines changed."""
    if not all(line in lines for line in range(one.first, one.last + 1)):
        return None
    return at.get((lines[one.first], one.column))


def modified_files(git_dir: Path) -> tuple[Pair, ...]:
    """List every Python file that a commit without a second parent modified."""
    log = _git(git_dir, "log", "--no-merges", "--diff-filter=M", "--format=", "--raw", "--no-abbrev", "--", "*.py")
    found = (line.split(maxsplit=5) for line in log.decode(errors="replace").splitlines() if line.startswith(":"))
    return tuple(Pair(path, before, after) for _, _, before, after, _, path in found)


def study(git_dir: Path, pairs: int, seed: int) -> Study:
    """Compare the names over a sample of pairs."""
    found = modified_files(git_dir)
    result = Study()
    for pair in random.Random(seed).sample(found, min(pairs, len(found))):
        before, after = (_git(git_dir, "cat-file", "blob", blob) for blob in (pair.before, pair.after))
        result.add(pair.path, before, after)
    return result


def _git(git_dir: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "--git-dir", git_dir, *arguments], check=True, stdout=subprocess.PIPE).stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table per repository."""
    parser = ArgumentParser(description="How many keys of unchanged statements survive real commits.")
    parser.add_argument("git_dirs", type=Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=300, help="how many modified files to sample per repository")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="print the keys that are wrong or lost")
    chosen = parser.parse_args(arguments)
    for git_dir in chosen.git_dirs:
        result = study(git_dir, chosen.pairs, chosen.seed)
        sys.stdout.write(
            f"{git_dir}: {result.pairs} modified files, {result.unchanged} unchanged statements, {result.changed} changed\n"
        )
        sys.stdout.writelines(f"  {name:12} {tally}\n" for name, tally in result.names.items())
        if chosen.verbose:
            sys.stdout.writelines(f"    {line}\n" for line in result.mistaken)


if __name__ == "__main__":
    main()
