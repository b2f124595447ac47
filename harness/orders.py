"""What crosses between the controller and a supervisor: an Order, perhaps Questions with their Answers, and an Ending, each a line of JSON.

They are plain (text, numbers, tuples) and import nothing heavy, because the launcher that trials are forked from reads them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a process is stopped, all that it starts included."""

    wall_s: float
    cpu_s: float
    memory_bytes: int
    output_bytes: int  # stdout and stderr together
    threads: int


KILLED = "killed by SIGKILL"  # as somebody's hand does, and the kernel
QUESTIONS = "questions"  # a unit of budgets: how often the training asks, whatever it says that it did


@dataclass(frozen=True, slots=True)
class Allowance:
    """The budget that a training run is granted step by step."""

    unit: str  # a targets.manifest.Unit, or QUESTIONS
    amount: float
    is_ceiling: bool = False  # whether a training that asks for nothing is ended when it has taken that many seconds


SANDBOX_LAYERS = ("landlock", "seccomp")  # what harness.sandbox can do to a process from inside


@dataclass(frozen=True, slots=True)
class Access:
    """The folders and files that stay visible in the sandbox, besides the interpreter and the system libraries."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One process to run."""

    main: tuple[str, ...]  # ("train.py", "--seed=1") runs a script, call(function, ...) a driver of ours
    folder: str  # working directory and first entry of sys.path
    env: Mapping[str, str]  # the whole environment, nothing is inherited
    bounds: Bounds
    allowance: Allowance | None = None
    access: Access | None = None  # None: no sandbox
    layers: tuple[str, ...] = SANDBOX_LAYERS  # of the sandbox that are used
    asks: bool = False  # whether the supervisor asks at every mark of the budget if the training may go on

    def to_json(self) -> str:
        """Print the order for `parse_order`."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Question:
    """May a training with this curve go on? While it waits, it is granted nothing."""

    curve: tuple[float, ...]  # the complete marks
    cpu_s: float  # CPU time that the whole training will take if it goes on like this

    def to_line(self) -> bytes:
        """Print the question for `parse_message`."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the owner of a run says to a Question."""

    n_marks: int  # of the curve that was asked about; an answer that comes too late is about another
    reason: str  # why to stop; empty: go on

    def to_line(self) -> bytes:
        """Print the answer for `parse_answer`."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a supervised process ended; the status is ok when it exited with 0."""

    status: Status
    detail: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    steps: int = 0
    spent: float = 0.0  # share of the budget, when it was asked for last
    log: str = ""
    isolation: str = ""
    curve: tuple[float, ...] = ()  # what the training hinted at, the complete marks: see harness.meter.Hints
    doomed_at: float = math.nan  # progress at which its rule would have stopped an audited run

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.status is Status.OK

    def to_line(self) -> bytes:
        """Print the ending for `parse_message`."""
        return json.dumps(asdict(self)).encode() + b"\n"


def call(driver: Callable[..., object], *arguments: str) -> tuple[str, ...]:
    """Write an Order's main that calls a function of ours in the new process."""
    return (driver.__module__, driver.__name__, *arguments)


def parse_order(text: str) -> Order:
    """Read what `Order.to_json` printed."""
    body = json.loads(text)
    allowance, access = body["allowance"], body["access"]
    return Order(
        main=tuple(body["main"]),
        folder=body["folder"],
        env=body["env"],
        bounds=Bounds(**body["bounds"]),
        allowance=allowance and Allowance(**allowance),
        access=access and Access(tuple(access["readable"]), tuple(access["writable"])),
        layers=tuple(body["layers"]),
        asks=body["asks"],
    )


def parse_message(line: bytes) -> Question | Ending:
    """Read what a supervisor says: a line of `Question.to_line` or `Ending.to_line`."""
    body = json.loads(line)
    curve = tuple(body.pop("curve"))
    return Ending(Status(body.pop("status")), **body, curve=curve) if "status" in body else Question(curve, **body)


def parse_answer(line: bytes) -> Answer:
    """Read what `Answer.to_line` printed."""
    return Answer(**json.loads(line))
