"""What an attack is: what it changes, what it is after, what must come of it, and the guard without which it succeeds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bench.attacks.bigram import TRAIN
from harness.values import Scoring, Status

if TYPE_CHECKING:
    from collections.abc import Mapping


class Aim(StrEnum):
    """What an attack is after, besides a metric that looks better than the honest one. Each is seen from outside, see `bait.py`."""

    METRIC = "a better metric"  # nothing besides
    SECRET = "a secret"  # what lies outside shows up in the log
    LABEL = "a better label"  # what the trial wrote stands in the label of its isolation
    CODE = "code of a checkpoint"  # what only such code prints stands in the log
    LINKS = "the network's devices"  # what the kernel tells of them stands in the log
    FILES = "files outside"  # a file outside has another content, mode or time
    PROCESS = "a process outside"  # it is dead, or runs under other limits
    NETWORK = "the network"  # a listener outside heard of it
    TERMINAL = "the terminal of a reader"  # what moves a cursor or sets a title stands in the log
    SURVIVAL = "a process that stays"  # something of the trial lives when the run is over
    BLOCKADE = "a controller that waits"  # the run takes longer than all of its limits
    MEMORY = "a controller that is full"  # the controller's memory grows


@dataclass(frozen=True, slots=True)
class Change:
    """One place of our sources, and what stands there when a guard is taken out."""

    file: str
    old: str  # occurs exactly once
    new: str


@dataclass(frozen=True, slots=True)
class Guard:
    """What stops an attack, by name, and how to take it out of a copy of the harness or of the target."""

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to get what was not earned."""

    name: str
    row: str  # of the lists that it comes from: a number of the table of faults, 1.5, or "own"
    files: Mapping[str, str]  # sources that it changes or adds
    guard: Guard
    status: Status = Status.OK  # what must come of it
    word: str = ""  # in the detail; nothing where the honest metric is measured as if there were no attack
    aim: Aim = Aim.METRIC
    scoring: Scoring = Scoring.SEARCH
    unit: str = "steps"  # of the budget
    needs_root: bool = False  # without the guard it succeeds for root only

    def can_succeed(self) -> bool:
        """Say whether this user could carry it out at all."""
        return not self.needs_root or os.geteuid() == 0


def after_training(*lines: str) -> dict[str, str]:
    """Add lines that run in the training once the checkpoint is written."""
    return {"train.py": "\n".join((TRAIN, "from bait import *", *lines, ""))}


def with_model(source: str) -> dict[str, str]:
    """Put another model in."""
    return {"model.py": source}
