"""The tree of programs: which program each trial was tried on, and which trials were kept or edited further.

The path to the incumbent is one straight line; a program that the campaign left again hangs off the place where it branched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.values import Trial


@dataclass(frozen=True, slots=True)
class Program:
    """One program that was kept or edited further, what was tried on it in vain, and the lines that left it sideways."""

    trial: Trial | None  # None is the baseline
    attempts: tuple[Trial, ...]
    branches: tuple[tuple[Program, ...], ...]


def build_lineage(trials: Sequence[Trial]) -> tuple[Program, ...]:
    """Return the line from the baseline to the incumbent, oldest first."""
    parents = {trial.number: trial.parent for trial in trials}
    tried_on: dict[int, list[Trial]] = {}
    for trial in trials:
        tried_on.setdefault(trial.parent, []).append(trial)
    spine: set[int] = set()
    number = next((trial.number for trial in reversed(trials) if trial.kept), 0)
    while number:
        spine.add(number)
        number = parents[number]
    return _line(None, tried_on, spine)


def _line(start: Trial | None, tried_on: dict[int, list[Trial]], spine: set[int]) -> tuple[Program, ...]:
    line: list[Program] = []
    trial = start
    while True:
        children = tried_on.get(trial.number if trial else 0, [])
        programs = [child for child in children if child.kept or child.number in tried_on]
        programs.sort(key=lambda child: (child.number in spine, child.kept, child.number))
        branches = tuple(_line(child, tried_on, spine) for child in programs[:-1])
        line.append(Program(trial, tuple(child for child in children if child not in programs), branches))
        if not programs:
            return tuple(line)
        trial = programs[-1]
