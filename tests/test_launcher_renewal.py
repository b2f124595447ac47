"""The launcher is replaced in time and when something is wrong with it, and no run notices."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from harness import launcher as module
from harness.launcher import Launcher
from harness.orders import Bounds, Order
from harness.processes import descendants
from harness.values import Status
from harness.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOUNDS = Bounds(wall_s=30, cpu_s=20, memory_bytes=1 << 40, output_bytes=1 << 20, threads=1)
PARENT = "import os; print(os.getppid())"


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    with Launcher((), tmp_path / "scratch", {}) as launcher:
        launcher.wait_until_ready()
        yield launcher


def order(space: Workspace, script: str) -> Order:
    (space.work / "script.py").write_text(script)
    return Order(("script.py",), str(space.work), {}, BOUNDS)


def wait_for(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_run_under_way_outlives_the_replacement_of_its_launcher(launcher: Launcher, tmp_path: Path) -> None:
    with Workspace(tmp_path, {}) as slow, Workspace(tmp_path, {}) as quick:
        first = launcher.pid
        script = (
            "import os, time\nopen('up', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('end')"
        )
        run = launcher.start(order(slow, script))
        assert wait_for((slow.work / "up").exists)
        launcher.replace()
        assert wait_for(lambda: launcher.start(order(quick, "")).wait().ok and launcher.pid != first)
        assert is_alive(first)
        (slow.work / "go").touch()
        assert run.wait().log == "end\n"
        assert wait_for(lambda: not is_alive(first))
        assert launcher.start(order(quick, "print('still')")).wait().log == "still\n"


def test_launcher_is_replaced_after_so_many_starts(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_STARTS", 3)
    with Workspace(tmp_path, {}) as space:
        first = launcher.pid
        for _ in range(3):
            assert launcher.start(order(space, "")).wait().ok
        assert launcher.pid == first
        assert wait_for(lambda: launcher.start(order(space, "")).wait().ok and launcher.pid != first)


def test_successor_that_fails_leaves_the_launcher_as_it_was(launcher: Launcher, tmp_path: Path) -> None:
    first = launcher.pid
    launcher._preload = ("",)  # no name of a module: what is started with it ends
    launcher.replace()
    assert launcher.pid == first
    with Workspace(tmp_path, {}) as space:
        assert launcher.start(order(space, "")).wait().ok


def test_closed_launcher_spawns_no_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STARTS", 0)
    with Launcher((), tmp_path / "scratch", {}) as launcher:
        launcher.wait_until_ready()
    children = {process.pid for process in descendants(os.getpid())}
    with Workspace(tmp_path, {}) as space, pytest.raises(OSError, match="the launcher is closed"):
        launcher.start(order(space, PARENT))
    assert {process.pid for process in descendants(os.getpid())} <= children


def test_closed_launcher_ends_what_its_predecessor_runs(tmp_path: Path) -> None:
    with Launcher((), tmp_path / "scratch", {}) as launcher, Workspace(tmp_path, {}) as space:
        launcher.wait_until_ready()
        first = launcher.pid
        run = launcher.start(order(space, "open('up', 'w').close()\nimport time; time.sleep(600)"))
        assert wait_for((space.work / "up").exists)
        launcher.replace()
        with Workspace(tmp_path, {}) as other:
            assert wait_for(lambda: launcher.start(order(other, "")).wait().ok and launcher.pid != first)
        launcher.close()
        assert run.wait().status is Status.INFRA_ERROR
        assert not is_alive(first)
