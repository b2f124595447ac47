"""The tree of kept programs: which program each trial was tried on, and which kept trial became the next program.

The path to the incumbent is one straight line; a kept program that the campaign left again hangs off the place where it branched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.values import Trial


@dataclass(frozen=True, slots=True)
class Program:
    """One kept program, what was tried on it in vain, and the lines that left it sideways."""

    trial: Trial | None  # None is the baseline
    attempts: tuple[Trial, ...]
    branches: tuple[tuple[Program, ...], ...]


def build_lineage(trials: Sequence[Trial]) -> tuple[Program, ...]:
    """Return the line from the baseline to the incumbent, oldest first."""
    kept = {trial.number: trial for trial in trials if trial.kept}
    parents = {trial.number: _find_parent(trial, kept.values()) for trial in trials}
    tried_on: dict[int | None, list[Trial]] = {}
    for trial in trials:
        tried_on.setdefault(parents[trial.number], []).append(trial)
    spine: set[int] = set()
    number = next(reversed(kept), None)
    while number is not None:
        spine.add(number)
        number = parents[number]
    return _line(None, tried_on, spine)


def _find_parent(trial: Trial, kept: Iterable[Trial]) -> int | None:
    # Only an earlier keep can be the parent: a chain of edits may lead back to the bytes of the baseline.
    return max(
        (each.number for each in kept if each.snapshot == trial.parent and each.number < trial.number), default=None
    )


def _line(start: Trial | None, tried_on: dict[int | None, list[Trial]], spine: set[int]) -> tuple[Program, ...]:
    line: list[Program] = []
    trial = start
    while True:
        children = tried_on.get(None if trial is None else trial.number, [])
        kept = sorted(
            (child for child in children if child.kept), key=lambda child: (child.number in spine, child.number)
        )
        branches = tuple(_line(child, tried_on, spine) for child in kept[:-1])
        line.append(Program(trial, tuple(child for child in children if not child.kept), branches))
        if not kept:
            return tuple(line)
        trial = kept[-1]
