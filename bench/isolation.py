"""What each layer of isolation costs a run: an empty process through the launcher, with and without it.

    python -m bench.isolation [RUNS]

Wall clock and CPU time (of the supervisor and the process, reaped ones included) per run, layers in turn, so that a busy machine
is busy for all of them. A level that does not work here is left out.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from harness.bubblewrap import Bubblewrap
from harness.cgroup import Campaign
from harness.isolation import Layer, choose
from harness.launcher import Launcher, Surroundings
from harness.orders import Access, Bounds, Order, call
from harness.processes import descendants
from harness.trial import do_nothing
from harness.values import TrialError
from harness.workspace import Workspace, make_scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = ("posix", "posix+seccomp", "posix+landlock", "landlock", "bubblewrap", "cgroup")
ENV = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BOUNDS = Bounds(wall_s=60, cpu_s=60, memory_bytes=1 << 30, output_bytes=1 << 20, threads=1)
BATCH = 10


class Level(NamedTuple):
    """A launcher with some layers, and what its runs took."""

    name: str
    launcher: Launcher
    order: Order
    walls_s: list[float]
    label: list[str]


def main(n_runs: int = 200) -> None:
    """Print a line per level."""
    with ExitStack() as context:
        levels = list(_start(context))
        before = _cpu_s(levels)
        for _ in range(n_runs // BATCH):
            for level in levels:
                _run(level)
        after = _cpu_s(levels)
    sys.stdout.write(f"{n_runs} runs each; ms per run\n{'wall p50':>9} {'wall min':>9} {'CPU':>6}  layers\n")
    for level, first, last in zip(levels, before, after, strict=True):
        median, least = 1e3 * statistics.median(level.walls_s), 1e3 * min(level.walls_s)
        cpu = 1e3 * (last - first) / len(level.walls_s)
        sys.stdout.write(f"{median:>9.1f} {least:>9.1f} {cpu:>6.1f}  {level.label[0]}\n")


def _start(context: ExitStack) -> Iterator[Level]:
    for name in LEVELS:
        try:
            plan = choose(name)
        except TrialError as error:
            sys.stdout.write(f"{error}\n")
            continue
        scratch = make_scratch()
        groups = context.enter_context(Campaign()).folder if Layer.CGROUP in plan.layers else None
        context.callback(lambda folder=scratch: folder.exists() and folder.rmdir())
        enclosure = Bubblewrap(writable=(groups,) if groups else ()) if Layer.BUBBLEWRAP in plan.layers else None
        within = Surroundings(plan.inside, enclosure, groups)
        launcher = context.enter_context(Launcher(("numpy",), scratch, ENV, within))
        launcher.wait_until_ready()
        space = context.enter_context(Workspace(scratch, {}))
        order = Order(call(do_nothing), str(space.work), {}, BOUNDS, access=Access((), (str(space.tmp),)))
        yield Level(name, launcher, order, [], [])


def _run(level: Level) -> None:
    for _ in range(BATCH):
        started_at = time.perf_counter()
        ending = level.launcher.start(level.order).wait()
        level.walls_s.append(time.perf_counter() - started_at)
        level.label.append(ending.isolation)


def _cpu_s(levels: list[Level]) -> list[float]:
    """Return the CPU time of each launcher and what it has reaped."""
    return [
        sum(process.cpu_s for process in descendants(os.getpid()) if process.pid in _below(level)) for level in levels
    ]


def _below(level: Level) -> set[int]:
    return {level.launcher.pid, *(process.pid for process in descendants(level.launcher.pid))}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
