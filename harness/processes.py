"""Process trees: who descends from this process, what they use, and how to end all of them.

A process that asked to be a subreaper inherits every orphan below it, however it left (setsid, double fork), so killing
and reaping children until none is left ends the whole tree without root, cgroups or namespaces. Linux only: /proc.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import stat
import subprocess
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from resource import struct_rusage

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_REST_S = 0.002  # between two rounds of killing
NAMESPACES = ("pid", "ipc", "net", "uts")  # man 7 namespaces: those that keep processes from each other
_PATIENCE_S = 10.0  # a process in uninterruptible sleep cannot be killed; it must not hold up its supervisor for ever


class Process(NamedTuple):
    """A line of the process table."""

    pid: int
    parent: int
    cpu_s: float  # user and system, its reaped children included
    rss_bytes: int


class Exit(NamedTuple):
    """What is known of a reaped child."""

    wait_status: int
    usage: struct_rusage


def become_subreaper() -> None:
    """Inherit orphaned descendants instead of the init process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Be killed when the parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def namespaces() -> tuple[str, ...]:
    """Name the namespaces that this process lives in, in the order of NAMESPACES."""
    return tuple(str(Path("/proc/self/ns", name).readlink()) for name in NAMESPACES)


def start_for_good(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Start a process from a thread that waits for its end.

    "Die with the parent" means the thread that forked, so a process that a short-lived thread started would die with that.

    Raises: OSError: what starting it raises.
    """
    started = queue.SimpleQueue[subprocess.Popen[bytes] | OSError]()

    def live() -> None:
        try:
            process = start()
        except OSError as error:
            started.put(error)
        else:
            started.put(process)
            process.wait()

    threading.Thread(target=live, daemon=True).start()
    if isinstance(answer := started.get(), OSError):
        raise answer
    return answer


def descendants(root: int, *, spared: Container[int] = ()) -> list[Process]:
    """List what lives below root, spared processes and what is below them left out."""
    children_of = _listed_children if _has_lists() else _sought_children()
    found = [child for child in children_of(root) if child.pid not in spared]
    for process in found:  # grows while it is walked
        found.extend(children_of(process.pid))
    return found


def unnamed_bytes(pids: Iterable[int]) -> int:
    """Add up the files that these processes hold open and that no folder holds any more.

    Nobody else sees them; on a file system in memory they are memory.
    """
    blocks: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(OSError):  # it ended since it was listed
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):  # it is closed
                    found = descriptor.stat()
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                        blocks[found.st_dev, found.st_ino] = found.st_blocks
    return sum(blocks.values()) * 512  # man 3 stat: the unit of st_blocks


def end_children(*, spared: Container[int] = ()) -> dict[int, Exit]:
    """Kill all that lives below this process except what is spared, and reap until nothing of it is left.

    Returns: pid -> Exit of every child reaped on the way, those that had ended by themselves included.
    """
    reaped: dict[int, Exit] = {}
    give_up_at = time.monotonic() + _PATIENCE_S
    while _reap(reaped) and (doomed := descendants(os.getpid(), spared=spared)) and time.monotonic() < give_up_at:
        for process in doomed:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(_REST_S)
    return reaped


def _reap(reaped: dict[int, Exit]) -> bool:
    """Collect ended children; say whether this process still has any."""
    with suppress(ChildProcessError):
        while True:
            pid, wait_status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return True
            reaped[pid] = Exit(wait_status, usage)
    return False


@cache
def _has_lists() -> bool:
    """Whether the kernel lists the children of a process (CONFIG_PROC_CHILDREN); a search looks at every process of the machine."""
    return Path(f"/proc/self/task/{os.getpid()}/children").exists()


def _listed_children(parent: int) -> list[Process]:
    found = list[Process]()
    with suppress(OSError):  # it ended
        for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - a name each, and this runs at every end of a process
            with suppress(OSError):
                pids = Path(f"/proc/{parent}/task/{thread}/children").read_bytes().split()
                found.extend(filter(None, (_read(int(pid)) for pid in pids)))
    return found


def _sought_children() -> Callable[[int], list[Process]]:
    children: dict[int, list[Process]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if process := _read(int(folder.name)):
            children.setdefault(process.parent, []).append(process)
    return lambda parent: children.get(parent, [])


def _read(pid: int) -> Process | None:
    """Read a line of the process table; None when the process has ended since it was listed."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # man 5 proc_pid_stat: the name in brackets may hold anything, brackets too; field 4 is the parent
    fields = text.rpartition(b")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Process(pid, int(fields[1]), ticks / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")
