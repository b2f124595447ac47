"""When a campaign ends before its last trial, or pauses: rules over what was judged, each with the reason that it gives.

The rules look at this session's trials only, so a campaign that is given the same command again goes on. None of them changes what a trial
is: a campaign that was stopped and resumed has the ledger of one that never was, but for the trials under way at the stop.

Converged, a rule of thumb with a figure behind it: after n trials in a row without a keep, the chance of a keep is below 3 / n with 95 %
confidence (the rule of three, Hanley and Lippman-Hand 1983); when even that promises less than one keep in the trials that are left, the
rest of the budget is better spent elsewhere. It says nothing about trials of another grammar or with another policy.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.values import Trial

_LOOK_BACK = 20  # trials over which a share of failures is counted
_ROOM_BYTES = 64 << 20  # a trial writes kilobytes to the campaign; below this something else fills the disk
_HARMLESS = frozenset({Status.OK, Status.DUPLICATE, Status.STOPPED})


@dataclass(frozen=True, slots=True)
class Guards:
    """What ends a session early; each at its default never does, but for pause_after."""

    wall_s: float = float("inf")
    patience: int | None = None  # trials without a keep
    max_failures: float = 1.0  # share of the last trials without a metric
    pause_after: int = 3  # failures in a row; 0: never
    until_converged: bool = False


def reason_to_stop(guards: Guards, trials: Sequence[Trial], *, n_before: int, n_left: int, elapsed_s: float) -> str:
    """Say why a session should end, or nothing.

    trials: all that are judged, of which the first n_before belong to earlier sessions. n_left: trials still to propose.
    """
    session = trials[n_before:]
    n_idle = _count_since_keep(trials)
    if elapsed_s >= guards.wall_s:
        return f"out of time: {guards.wall_s:g} s"
    if guards.patience is not None and min(n_idle, len(session)) >= guards.patience:
        return f"no improvement: {n_idle} trials without a keep"
    if guards.until_converged and 3 * n_left < min(n_idle, len(session)):
        return f"converged: {n_idle} trials without a keep promise less than one in the {n_left} that are left"
    return _failing(guards, session)


def _failing(guards: Guards, session: Sequence[Trial]) -> str:
    recent = session[-_LOOK_BACK:]
    n_failed = sum(map(_failed, recent))
    if len(recent) == _LOOK_BACK and n_failed > guards.max_failures * _LOOK_BACK:
        return f"failing: {n_failed} of the last {_LOOK_BACK} trials have no metric"
    last = session[-guards.pause_after :] if guards.pause_after else ()
    if last and len(last) == guards.pause_after and all(map(_failed, last)):
        said = "; ".join(f"{trial.number} {trial.status}" for trial in last)
        return f"paused: {len(last)} trials in a row failed ({said}); look at them, then the same command goes on"
    return ""


def no_room(folder: Path) -> str:
    """Say that the disk of a campaign is nearly full, or nothing."""
    free = shutil.disk_usage(folder).free
    if free >= _ROOM_BYTES:
        return ""
    return f"paused: {folder} has {free >> 20} MB of disk left; free some, then the same command goes on"


def _failed(trial: Trial) -> bool:
    """Whether a trial ran and gave no metric; a refused or a duplicate edit never ran."""
    return trial.status not in _HARMLESS and bool(trial.outcomes[0].isolation)


def _count_since_keep(trials: Sequence[Trial]) -> int:
    return next((n for n, trial in enumerate(reversed(trials)) if trial.kept), len(trials))
