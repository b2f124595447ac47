"""Runs that misbehave, and what runs them being killed or stopped, seen from the controller that waits for them."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.faults.campaigns import wait_until
from bench.faults.fault import Found, Pace
from harness.measure import Runner
from harness.processes import descendants
from harness.sources import read_target
from harness.values import Outcome, Status
from targets.manifest import load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.processes import Process

_TOY = Path(__file__).resolve().parents[2] / "targets" / "toy"
_WALL_S, _MEMORY_MB = 3.0, 1000
_LATEST_S = 9.0  # a run of 3 s, the grace after it, and a scorer's own time, on a loaded machine
_WAIT_S = 16.0  # after that a run counts as one that never ends
_GAP_S = 1.0  # between two ticks of a thread beside the one that waits: I9
_GROWTH_KB = 50 << 10  # I4
_SCRIPT = "    train(model, cfg, rng, Budget())\n"


@dataclass(frozen=True, slots=True)
class Bad:
    """A training that misbehaves, and what must come of it."""

    lines: str  # that run before the training
    statuses: tuple[Status, ...]
    after: str = ""  # that run when the checkpoint is written
    latest_s: float = _LATEST_S

    @property
    def wall_s(self) -> float:
        """How long the run may take: of what must end for another reason, twice as long, since the machine may be loaded."""
        return _WALL_S if Status.TIMEOUT in self.statuses else 2 * _WALL_S


def write_target(folder: Path, lines: str, after: str = "", wall_s: float = _WALL_S) -> Path:
    """Write the toy target with small limits, and lines of its own around the training."""
    shutil.copytree(_TOY, folder)
    manifest = folder / "codegraft.toml"
    limits = f"wall_s = {wall_s}\nmemory_mb = {_MEMORY_MB}\noutput_kb = 1000\n"
    manifest.write_text(manifest.read_text().replace("wall_s = 20.0\n", limits))
    train = folder / "train.py"
    before, call, rest = train.read_text().partition(_SCRIPT)
    save, name, end = rest.partition("save_file(model.weights, checkpoint_path())\n")
    lines, after = ("".join(f"    {line}\n" for line in text.splitlines()) for text in (lines, after))
    head = "import os, resource, signal, subprocess, sys, threading, time\n"
    train.write_text(head + before + lines + call + save + name + after + end)
    return folder


class Watched:
    """A runner, a run in a thread of its own, and a ticking thread that shows whether the process is held up."""

    def __init__(self, folder: Path) -> None:
        target = load_target(folder)
        self.runner = Runner(target, isolation="landlock")
        self._snapshot = read_target(target)
        self.outcome: Outcome | None = None
        self.seconds = self.widest_gap_s = 0.0
        self.grown_kb = 0

    @property
    def scratch(self) -> str:
        """What stands in the command line of every process of the runner."""
        return self.runner._scratch.name  # noqa: SLF001 - it names them and nothing else

    def start(self) -> threading.Thread:
        """Begin the run."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        threading.Thread(target=self._tick, args=(thread,), daemon=True).start()
        return thread

    def _run(self) -> None:
        began_s, before_kb = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = self.runner.run(self._snapshot, 1)
        self.seconds = time.monotonic() - began_s
        self.grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
        self.outcome = outcome

    def _tick(self, thread: threading.Thread) -> None:
        last_s = time.monotonic()
        while thread.is_alive():
            time.sleep(0.02)
            now_s = time.monotonic()
            self.widest_gap_s, last_s = max(self.widest_gap_s, now_s - last_s), now_s

    def violations(self, statuses: tuple[Status, ...], *, latest_s: float = _LATEST_S) -> Iterator[str]:
        """Say what does not hold once the run should be over."""
        if self.outcome is None:
            yield f"it has not ended after {_WAIT_S:g} s"
            return
        if self.outcome.status not in statuses:
            yield f"{self.outcome.status} ({self.outcome.detail}), not {' or '.join(statuses)}"
        if self.seconds > latest_s:
            yield f"it took {self.seconds:.1f} s, not {latest_s:g}"
        if self.widest_gap_s > _GAP_S:
            yield f"I9: the controller stood still for {self.widest_gap_s:.1f} s"
        if self.grown_kb > _GROWTH_KB:
            yield f"I4: the controller grew by {self.grown_kb >> 10} MB"
        if self.outcome.ok == bool(self.outcome.metric != self.outcome.metric):
            yield f"I6: {self.outcome.status} with metric {self.outcome.metric}"


def misbehave(bad: Bad, folder: Path, _: Pace) -> Found:
    """Run a training that misbehaves."""
    mark = f"codegraft-mark-{os.getpid()}"
    lines = f"os.environ['FAULT_MARK'] = {mark!r}\n{bad.lines}"
    watched, context = Watched(write_target(folder / "target", lines, bad.after, bad.wall_s)), ExitStack()
    context.enter_context(watched.runner)
    watched.start().join(_WAIT_S)
    violations = [*watched.violations(bad.statuses, latest_s=bad.latest_s)]
    if watched.outcome is None:
        return Found("one run", violations)  # nobody waits for what never ends: the launchers end with this process
    violations += _left_below()
    context.close()
    return Found("one run", violations + _left_anywhere(mark, watched.scratch))


def _left_below() -> list[str]:
    """Say what lives below the launchers, once that has had time to end."""

    def below() -> list[int]:
        return [process.pid for process in descendants(os.getpid()) if process.parent != os.getpid()]

    return [] if wait_until(lambda: not below(), 5.0) else [f"I3: {len(below())} processes below the launchers"]


def _left_anywhere(*marks: str) -> list[str]:
    """Say what of a closed runner lives anywhere, and end it."""
    if wait_until(lambda: not _marked(marks), 5.0):
        return []
    left = _marked(marks)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"I3: {len(left)} processes of the run are left"]


def _marked(marks: tuple[str, ...]) -> list[int]:
    """List the processes with a mark in their environment or their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended since
            shown = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            found += [int(folder.name)] * any(mark.encode() in shown for mark in marks)
    return [pid for pid in found if pid != os.getpid()]


def _level(depth: int) -> list[Process]:
    """List the processes so far below this one: 1 launchers, 2 supervisors, 3 what they run."""
    level = {os.getpid()}
    table = descendants(os.getpid())
    for _ in range(depth):
        level = {process.pid for process in table if process.parent in level}
    return [process for process in table if process.pid in level]


def _signal_one(depth: int, number: signal.Signals, which: Callable[[int], bool]) -> bool:
    """Signal the first process of a level that fits, when there is one."""
    for process in _level(depth):
        if which(process.pid):
            os.kill(process.pid, number)
            return True
    return False


def _is_scorer(pid: int) -> bool:
    """Say whether a process belongs to the launcher of the scorers, by the modules that it was told to load."""
    return b"harness.scorer" in Path(f"/proc/{pid}/cmdline").read_bytes()


def killed(depth: int, times: int, folder: Path, _: Pace) -> Found:
    """Kill what runs a training, once or as often as it is tried: once is repeated, twice is a fault of the machine."""
    watched = Watched(write_target(folder / "target", "time.sleep(1.0)"))
    violations = list[str]()
    with watched.runner:
        thread = watched.start()
        for _again in range(times):
            if not wait_until(lambda: any(not _is_scorer(each.pid) for each in _level(3)), 15.0):
                return Found("nothing", [*watched.violations((Status.INFRA_ERROR,))] or ["no training began"])
            time.sleep(0.3)
            victims = {each.parent for each in _level(3) if not _is_scorer(each.pid)}
            pids = victims if depth == 2 else {each.parent for each in _level(2) if each.pid in victims}
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not any(each.pid in pids for each in _level(depth)), 5.0)  # noqa: B023
        thread.join(_WAIT_S)
        violations += watched.violations((Status.OK,) if times == 1 else (Status.INFRA_ERROR,), latest_s=_WAIT_S)
        violations += _left_below()
    return Found(f"killed {times} x", violations + _left_anywhere(watched.scratch))


def scorer_signalled(number: signal.Signals, statuses: tuple[Status, ...], folder: Path, _: Pace) -> Found:
    """Kill or stop a scorer at work: a dead one is repeated, a stopped one runs out of time."""
    target = write_target(folder / "target", "")
    scorer = target / "scorer.py"
    scorer.write_text(scorer.read_text().replace("def score(", "import time\ntime.sleep(1.0)\n\n\ndef score(", 1))
    watched, violations = Watched(target), list[str]()
    with watched.runner:
        thread = watched.start()
        scores = partial(_signal_one, 3, number, _is_scorer)
        if not wait_until(scores, 20.0):
            violations.append("no scorer began")
        thread.join(_WAIT_S)
        violations += watched.violations(statuses, latest_s=_WAIT_S)
        violations += _left_below()
    return Found("one scorer", violations + _left_anywhere(watched.scratch))


def at_its_deadline(folder: Path, _: Pace) -> Found:
    """Let runs end within milliseconds of their deadline: each has one status, and none is an accident of both."""
    violations, n_ok, n = list[str](), 0, 8
    for i in range(n):
        rest = f"sys.stdout.flush(); time.sleep({_WALL_S} - 0.25 + {i * 0.03})"
        watched = Watched(write_target(folder / f"target{i}", "", rest))
        with watched.runner:
            watched.start().join(_WAIT_S)
            violations += watched.violations((Status.OK, Status.TIMEOUT))
            n_ok += watched.outcome is not None and watched.outcome.ok
    return Found(f"{n} runs, {n_ok} ok and {n - n_ok} timeout", violations)
