"""What a confined process reaches, one attempt at a time, each next to the same attempt without the layer that stops it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.launcher import Launcher
from harness.orders import SANDBOX_LAYERS, Access, Bounds, Order
from harness.sandbox import landlock_abi
from harness.values import Status
from harness.workspace import Workspace, make_scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUNDS = Bounds(wall_s=20, cpu_s=20, memory_bytes=1 << 40, output_bytes=1 << 20, threads=1)
CALL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
victim = int(os.environ["VICTIM"])
"""
X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="system calls are written as numbers of x86_64")
REFUSED = {
    "limits of another process": "import resource; resource.prlimit(victim, resource.RLIMIT_NOFILE, (32, 64))",
    "processors of another process": "os.sched_setaffinity(victim, {0})",
    "a new user namespace by clone": "call(56, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)",
    "signals from a pipe": "import fcntl; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, victim)",
    "a lease that makes others wait": "import fcntl; fcntl.fcntl(open('script.py'), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "memory that nobody counts": "os.memfd_create('x')",
    "what happens to files": "call(294, 0)",
    "another run's System V memory": "call(29, 0, 4096, 0o1600)",
    "System V queues": "call(68, 0, 0o1600)",
    "UDP": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "abstract sockets": "import socket; socket.socket(socket.AF_UNIX).bind(b'\\0x')",
    "io_uring": "call(425, 4, ctypes.addressof(ctypes.create_string_buffer(120)))",
    "comparing processes": "call(312, os.getpid(), os.getpid(), 0, 0, 0)",
}
HIDDEN = {
    "signals through a descriptor": "import signal; signal.pidfd_send_signal(os.pidfd_open(victim), 0)",
    "signals to all": "os.kill(victim, 0)",
    "environment of another process": "open(f'/proc/{victim}/environ').read()",
    "memory map of another process": "open(f'/proc/{victim}/maps').read()",
    "its place in the kernel's choice": "open('/proc/self/oom_score_adj', 'w').write('-1')",
    "shared memory": "open('/dev/shm/codegraft-test', 'w').close(); os.remove('/dev/shm/codegraft-test')",
}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with Launcher((), tmp_path_factory.mktemp("scratch"), {}) as launcher:
        launcher.wait_until_ready()
        yield launcher


@pytest.fixture(scope="module")
def victim() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def confined(script: str, space: Workspace, victim: int, layers: tuple[str, ...]) -> Order:
    (space.work / "script.py").write_text(CALL + script)
    access = Access((), (str(space.work), str(space.tmp)))
    env = {"VICTIM": str(victim), "TMPDIR": str(space.tmp)}
    return Order(("script.py",), str(space.work), env, BOUNDS, access=access, layers=layers)


@X86
@pytest.mark.parametrize("attempt", REFUSED.values(), ids=list(REFUSED))
def test_seccomp_and_nothing_else_refuses(launcher: Launcher, tmp_path: Path, victim: int, attempt: str) -> None:
    with Workspace(tmp_path, {}) as space:
        order = confined(attempt, space, victim, SANDBOX_LAYERS)
        refused, granted = (launcher.start(each).wait() for each in (order, replace(order, layers=())))
    assert "seccomp" in refused.isolation
    assert "[Errno 1] Operation not permitted" in refused.detail
    assert (granted.status, granted.isolation) == (Status.OK, "posix"), granted.log


@pytest.mark.skipif(landlock_abi() < 6, reason="signals are hidden since Landlock 6")
@pytest.mark.parametrize("attempt", HIDDEN.values(), ids=list(HIDDEN))
def test_landlock_and_nothing_else_hides(launcher: Launcher, tmp_path: Path, victim: int, attempt: str) -> None:
    with Workspace(tmp_path, {}) as space:
        order = confined(attempt, space, victim, SANDBOX_LAYERS)
        hidden, reached = (launcher.start(each).wait() for each in (order, replace(order, layers=("seccomp",))))
        bare = launcher.start(replace(order, layers=())).wait()
    assert "PermissionError" in hidden.detail, hidden
    # Without capabilities root is a normal user, and lowering oom_score_adj or reading what is not its own takes one.
    assert Status.OK in {reached.status, bare.status}, (reached.log, bare.log)


@X86
def test_changes_of_files_outside_are_pretended(launcher: Launcher, tmp_path: Path, victim: int) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    outside.chmod(0o640)
    before = outside.stat()
    script = f"os.chmod({str(outside)!r}, 0o666); os.utime({str(outside)!r}, (1, 1)); print('done')"
    with Workspace(tmp_path, {}) as space:
        order = confined(script, space, victim, SANDBOX_LAYERS)
        assert launcher.start(order).wait().log == "done\n"
        assert outside.stat() == before
        launcher.start(replace(order, layers=())).wait()
    assert (outside.stat().st_mode & 0o777, outside.stat().st_mtime) == (0o666, 1.0)


def test_priority_of_another_process_stays(launcher: Launcher, tmp_path: Path, victim: int) -> None:
    script = "os.setpriority(os.PRIO_PROCESS, victim, 19); os.nice(1)"
    with Workspace(tmp_path, {}) as space:
        order = confined(script, space, victim, SANDBOX_LAYERS)
        ending = launcher.start(order).wait()
        assert (ending.status, os.getpriority(os.PRIO_PROCESS, victim)) == (Status.OK, 0)
        launcher.start(replace(order, layers=())).wait()
    assert os.getpriority(os.PRIO_PROCESS, victim) == 19


HONEST = """
import concurrent.futures, fcntl, os, resource, shutil, socket, subprocess, sys, tempfile, threading
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
assert subprocess.run([sys.executable, "-c", "print(3)"], capture_output=True, check=True).stdout == b"3\\n"
near, far = socket.socketpair()
near.send(b"x")
shutil.copy2("script.py", tempfile.mkdtemp())
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)
os.sched_setaffinity(0, os.sched_getaffinity(0))
os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0))
fcntl.fcntl(near, fcntl.F_SETFL, os.O_NONBLOCK)
assert open("/proc/self/oom_score_adj").read() == "1000\\n"
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
except ValueError as error:
    print(error)
try:
    open("/dev/tty")
except OSError:
    print("no terminal")
"""


def test_what_honest_code_does_still_works(launcher: Launcher, tmp_path: Path, victim: int) -> None:
    with Workspace(tmp_path, {}) as space:
        ending = launcher.start(confined(HONEST, space, victim, SANDBOX_LAYERS)).wait()
    assert ending.status is Status.OK, ending.log
    assert ending.log == "not allowed to raise maximum limit\nno terminal\n"


HOARD = """
import ctypes, tempfile, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
files = [tempfile.TemporaryFile() for _ in range(3)]
for file in files:
    file.write(bytes(30 << 20))
    file.flush()
time.sleep(5)
"""


def test_files_without_a_name_are_counted(launcher: Launcher, victim: int) -> None:
    scratch = make_scratch()
    with Workspace(scratch, {}) as space:
        order = confined(HOARD, space, victim, SANDBOX_LAYERS)
        small = replace(order, bounds=replace(BOUNDS, memory_bytes=80 << 20))
        ending = launcher.start(small).wait()
    scratch.rmdir()
    assert (ending.status, ending.detail) == (Status.OOM, "used more than 80 MB of memory and files")
