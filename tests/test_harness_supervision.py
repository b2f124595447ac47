"""What a supervisor makes of processes that will not end, end twice, or leave something behind."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.launcher import Launcher
from harness.orders import Access, Bounds, Order
from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.orders import Ending

ENV = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
BOUNDS = Bounds(wall_s=60, cpu_s=60, memory_bytes=1 << 40, output_bytes=1 << 20, threads=1)
SHORT = replace(BOUNDS, wall_s=0.6)
SAYS_WHO = "import atexit, os, signal, sys, time\nopen('pid', 'w').write(str(os.getpid()))\n"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with Launcher(("numpy",), tmp_path_factory.mktemp("scratch"), ENV) as launcher:
        launcher.wait_until_ready()
        yield launcher


def run(launcher: Launcher, folder: Path, script: str, bounds: Bounds = BOUNDS) -> Ending:
    (folder / "script.py").write_text(SAYS_WHO + script)
    access = Access((), (str(folder),))
    return launcher.start(Order(("script.py",), str(folder), ENV, bounds, access=access)).wait()


def is_gone(folder: Path, name: str = "pid") -> bool:
    file = folder / name  # not there when the machine is so busy that the run came to nothing
    return not file.exists() or not Path(f"/proc/{file.read_text()}").exists()


NEVER_ENDING = {
    "stopped by itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "stopped, SIGTERM ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGSTOP)",
    "slow import": "open('slow.py', 'w').write('import time; time.sleep(600)')\nimport slow",
    "exit function": "atexit.register(time.sleep, 600)",
    "destructor": "class Slow:\n    def __del__(self): time.sleep(600)\nSlow()",
    "signal handler": "signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600)); os.kill(os.getpid(), signal.SIGUSR1)",
    "thread at exit": "import threading; threading.Thread(target=time.sleep, args=(600,)).start()",
    "standard output at exit": "class Slow:\n    closed = False\n    def flush(self): time.sleep(600)\nsys.stdout = Slow()",
    "handler of the end": "signal.signal(signal.SIGTERM, lambda *_: time.sleep(600)); time.sleep(600)",
}


@pytest.mark.parametrize("script", NEVER_ENDING.values(), ids=NEVER_ENDING)
def test_what_never_ends_is_out_of_time_and_gone(launcher, tmp_path, script):
    ending = run(launcher, tmp_path, script, SHORT)
    assert (ending.status, ending.detail) == (Status.TIMEOUT, "ran longer than 0.6 s")
    assert is_gone(tmp_path)


def test_a_result_is_kept_when_a_grandchild_holds_the_output_open(launcher, tmp_path):
    script = "if os.fork() == 0:\n    os.setsid(); open('child', 'w').write(str(os.getpid())); time.sleep(600)\n"
    script += "while not os.path.exists('child') or not open('child').read(): time.sleep(0.01)\nprint('done')"
    ending = run(launcher, tmp_path, script)
    assert (ending.status, ending.log) == (Status.OK, "done\n")
    assert ending.wall_s < 30
    assert is_gone(tmp_path, "child")


@pytest.mark.parametrize("early_s", [0.05, 0.02, 0.0, -0.02])
def test_a_run_that_ends_at_its_deadline_has_one_status_with_its_own_reason(launcher, tmp_path, early_s):
    script = f"time.sleep(max(0.0, {time.monotonic() + SHORT.wall_s - early_s} - time.monotonic()))"
    ending = run(launcher, tmp_path, script, SHORT)
    assert (ending.status, ending.detail) in {(Status.OK, ""), (Status.TIMEOUT, "ran longer than 0.6 s")}
    assert is_gone(tmp_path)


@pytest.mark.slow
def test_very_many_small_files_are_a_limit_of_their_own(launcher, tmp_path):
    script = "for i in range(1_000_000): os.close(os.open(f'{i}', os.O_CREAT))"
    ending = run(launcher, tmp_path, script)
    assert (ending.status, ending.detail) == (Status.OOM, "wrote more than 10000 files")
    assert ending.peak_rss_bytes < 200 << 20


def test_a_disk_that_is_full_is_the_failure_of_the_run_that_filled_it(launcher, tmp_path):
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "disk"
    folder.mkdir()
    if libc.mount(b"none", str(folder).encode(), b"tmpfs", 0, b"size=3m") != 0:
        pytest.skip(f"may not mount: {os.strerror(ctypes.get_errno())}")
    try:
        ending = run(launcher, folder, "open('big', 'wb').write(bytes(4 << 20))")
    finally:
        libc.umount2(str(folder).encode(), 2)  # MNT_DETACH
    assert ending.status is Status.FAILED
    assert "No space left on device" in ending.detail
