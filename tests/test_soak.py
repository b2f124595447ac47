"""Thousands of trials without training leave nothing behind: no memory, no descriptor, no file, no process.

    CODEGRAFT_SOAK=10000 pytest -m slow tests/test_soak.py

runs the whole length; without the variable it is a fifth of that, which takes some minutes on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import pytest

from graph.snapshot import read_snapshot
from harness.measure import Runner
from harness.processes import descendants
from targets.manifest import load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from graph.snapshot import Snapshot

NOOP = Path(__file__).parent / "cases" / "noop"
N_TRIALS = int(os.environ.get("CODEGRAFT_SOAK", "2000"))
N_PARTS = 20
N_SLOTS = 3
N_LOOKS = 8
SLACK_MB = 2.0  # of resident memory between two halves; 1,000 trials that leave 2 kB each pass it


class Footprint(NamedTuple):
    """What is there while nothing runs."""

    controller_mb: float
    launchers_mb: float
    descriptors: int  # of the controller and its launchers
    files: int  # in the folders of the runs, and temporary ones
    processes: int  # launchers, and zombies


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with Runner(load_target(NOOP), n_slots=N_SLOTS) as runner:
        yield runner


def soak(runner: Runner, n_trials: int, after_part: Callable[[], object] = lambda: None) -> list[Footprint]:
    """Run the target so often, in parts of several runs at a time, and look around after each part."""
    target = load_target(NOOP)
    snapshot = read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)
    prints = []
    with ThreadPoolExecutor(N_SLOTS) as pool:
        for part in range(N_PARTS):
            seeds = range(part * n_trials // N_PARTS, (part + 1) * n_trials // N_PARTS)
            assert all(pool.map(lambda seed: is_measured(runner, snapshot, seed), seeds))
            after_part()
            prints.append(look_around(runner))
    return prints


def is_measured(runner: Runner, snapshot: Snapshot, seed: int) -> bool:
    return runner.run(snapshot, seed).ok


def look_around(runner: Runner) -> Footprint:
    """Look until what has ended is gone: a run is over before its supervisor has left."""
    looks = []
    for _ in range(N_LOOKS):
        time.sleep(0.05)
        looks.append(look_once(runner))
    return min(looks, key=lambda look: (look.processes, look.descriptors))


def look_once(runner: Runner) -> Footprint:
    below = descendants(os.getpid())
    pids = [os.getpid(), *(process.pid for process in below)]
    folders = (runner._scratch, Path(tempfile.gettempdir()))
    return Footprint(
        controller_mb=rss_mb(os.getpid()),
        launchers_mb=sum(process.rss_bytes for process in below) / 2**20,
        descriptors=sum(
            len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids if Path(f"/proc/{pid}/exe").exists()
        ),
        files=sum(1 for folder in folders for _ in folder.rglob("*")),
        processes=len(below),
    )


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def grown(prints: list[Footprint]) -> set[str]:
    """Name what is larger in the second half of the parts than in the first, of which the first fifth warms up."""
    warm = prints[len(prints) // 5 :]
    first, second = warm[: len(warm) // 2], warm[len(warm) // 2 :]
    names = set()
    for name in Footprint._fields:
        before, after = (median(getattr(each, name) for each in half) for half in (first, second))
        if after - before > (SLACK_MB if name.endswith("_mb") else 0):
            names.add(name)
    return names


@pytest.mark.slow
def test_thousands_of_trials_leave_nothing_behind(runner: Runner) -> None:
    prints = soak(runner, N_TRIALS)
    assert not grown(prints), prints


@pytest.mark.slow
@pytest.mark.parametrize("leak", ["controller_mb", "descriptors", "files", "processes"])
def test_what_is_left_behind_is_seen(runner: Runner, tmp_path: Path, leak: str) -> None:
    kept: list[object] = []

    def leave_something() -> None:
        match leak:
            case "controller_mb":
                kept.append(bytearray(os.urandom(1 << 20)))
            case "descriptors":
                kept.append((tmp_path / "leak").open("w"))
            case "files":
                tempfile.mkstemp(dir=runner._scratch)
            case "processes":
                kept.append(subprocess.Popen([sys.executable, "-c", "pass"]))

    assert leak in grown(soak(runner, 2 * N_PARTS, leave_something))
    for each in kept:
        if isinstance(each, subprocess.Popen):
            each.wait()
        elif hasattr(each, "close"):
            each.close()
