"""What is asked of a supervised process and what became of it: the two values that cross a process boundary as JSON.

They are plain (text, numbers, tuples) and import nothing heavy, because the launcher that trials are forked from reads them.
"""

from __future__ import annotations

import json
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


QUESTIONS = "questions"  # a unit of budgets: how often the training asks, whatever it says that it did


@dataclass(frozen=True, slots=True)
class Allowance:
    """The budget that a training run is granted step by step."""

    unit: str  # a targets.manifest.Unit, or QUESTIONS
    amount: float


SANDBOX_LAYERS = ("landlock", "seccomp")  # what harness.sandbox can do to a process from inside


@dataclass(frozen=True, slots=True)
class Access:
    """The folders and files that stay visible in the sandbox, besides the interpreter and the system libraries."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One process to run."""

    main: tuple[str, ...]  # ("train.py",) runs a script, call(function, ...) a driver of ours
    folder: str  # working directory and first entry of sys.path
    env: Mapping[str, str]  # the whole environment, nothing is inherited
    bounds: Bounds
    allowance: Allowance | None = None
    access: Access | None = None  # None: no sandbox
    layers: tuple[str, ...] = SANDBOX_LAYERS  # of the sandbox that are used

    def to_json(self) -> str:
        """Print the order for `parse_order`."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a supervised process ended; the status is ok when it exited with 0."""

    status: Status
    detail: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    steps: int = 0
    log: str = ""
    isolation: str = ""
    curve: tuple[float, ...] = ()  # what the training hinted at: see harness.meter.Hints

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.status is Status.OK

    def to_json(self) -> str:
        """Print the ending for `parse_ending`."""
        return json.dumps(asdict(self))


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
    )


def parse_ending(text: str) -> Ending:
    """Read what `Ending.to_json` printed."""
    body = json.loads(text)
    return Ending(**{**body, "status": Status(body["status"]), "curve": tuple(body["curve"])})
