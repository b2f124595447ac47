"""What a row of the table of faults is, and how its scenario runs on the harness as it is and on a copy without the guard.

The invariants, as the table names them: I1 one terminal result per trial; I2 no acknowledged event lost; I3 no process of a run outlives
it; I4 the controller's memory does not grow with what a run prints; I6 a reward comes from the scorer; I7 killed and resumed gives the
ledger of an uninterrupted run; I8 faults of the machine never reach the policy; I9 the controller never waits more than a second on a run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.attacks.attack import Change, Guard
from bench.attacks.broken import copy_without

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 1500.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How much of what could be tried is tried."""

    points: int = 2  # calls of each named crash point; 0: all
    rounds: int = 200  # random kills
    damages: int = 100  # of a campaign, for verify
    is_control: bool = False  # stop at the first thing that does not hold

    def sample(self, calls: list[str]) -> list[str]:
        """Pick calls, each a name and a number, of each name: all, or the first, the last and those evenly between."""
        by_name: dict[str, list[str]] = {}
        for call in calls:
            by_name.setdefault(call.partition(" ")[0], []).append(call)
        return [each for found in by_name.values() for each in self._spread(found)]

    def _spread(self, calls: list[str]) -> list[str]:
        n = min(self.points, len(calls)) or len(calls)
        return [calls[i * (len(calls) - 1) // max(1, n - 1)] for i in range(n)]


class Found(NamedTuple):
    """What a scenario found: how much it tried, and all that did not hold."""

    tried: str
    violations: list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    number: str  # of research on fault injection, by which the rows are known
    name: str
    must: str  # the invariants
    scenario: Callable[[Path, Pace], Found]
    guard: Guard | None  # without which the scenario must find something; None: nothing of ours stands there
    setting: tuple[Change, ...] = ()  # what is changed in the harness as it is too: the injection itself
    mounts: bool = False  # needs a mount namespace, so root


def carry_out(row: Row, folder: Path, pace: Pace, *, without_guard: bool) -> Found:
    """Run a row's scenario in a process of its own on a copy of our packages.

    A scenario that fails itself has found nothing to hold: that breaks a row, and is no failing control.
    """
    folder.mkdir(parents=True)
    taken_out = row.guard.changes if without_guard and row.guard is not None else ()
    name = row.guard.name if without_guard and row.guard is not None else "nothing"
    copy = copy_without(Guard(name, (*row.setting, *taken_out)), folder)
    (folder / "cache").mkdir()
    (folder / "room").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(copy), "XDG_CACHE_HOME": str(folder / "cache")}
    numbers = [str(int(number)) for number in (pace.points, pace.rounds, pace.damages, without_guard)]
    command = [sys.executable, "-m", "bench.faults.stage", row.name, str(folder / "room"), *numbers]
    if row.mounts:
        command = ["unshare", "-m", *command]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
    )
    if not done.stdout.startswith("{"):
        said = " ".join(done.stderr[-300:].split())
        return Found("nothing", [] if without_guard else [f"the scenario failed: {said}"])
    shutil.rmtree(folder, ignore_errors=True)
    return Found(**json.loads(done.stdout.splitlines()[0]))
