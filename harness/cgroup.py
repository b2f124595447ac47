"""Control groups (version 2): one folder per campaign, one group per run, where the machine lets us make them.

The kernel counts memory and processes of a group as they are used, where the supervisor looks four times a second, says in
`memory.events` whether it ended something, and ends a whole group at one write, however fast it forks. Which of these there are
depends on what was delegated to us, and the label of a run names them: `cgroup` alone is the last, `memory.max` and `pids.max`
are the limits.

A process must be moved into its group, and a move waits for the kernel's grace period: 10 ms of wall clock, no CPU. The tree is
ended by hand as well (harness.processes), group or not.
Source: Documentation/admin-guide/cgroup-v2.rst of Linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

_LIMITS = {"memory": "memory.max", "pids": "pids.max"}  # controller -> file
MAX_TASKS = 4096  # processes and threads of one run; the supervisor counts processes, a library's threads are no attack
_REST_S, _PATIENCE_S = 0.001, 2.0  # until a group whose processes were killed is empty


class Group:
    """The group of one run."""

    def __init__(self, campaign: Path, name: str, *, memory_bytes: int) -> None:
        """Make the group, with the limits that there are.

        Raises: OSError: the folder is gone.
        """
        self.folder = campaign / name
        self.folder.mkdir()
        names = ["cgroup"]
        for file, value in ((_LIMITS["memory"], memory_bytes), (_LIMITS["pids"], MAX_TASKS)):
            with suppress(OSError):  # the controller is not delegated
                _write(self.folder / file, str(value))
                names.append(file)
        with suppress(OSError):
            _write(self.folder / "memory.swap.max", "0")
            _write(self.folder / "memory.oom.group", "1")  # a training without its workers would only hang
        self.label = "+".join(names)

    def join(self) -> None:
        """Move this process in. Raises: OSError."""
        _write(self.folder / "cgroup.procs", "0")

    def ran_out_of_memory(self) -> bool | None:
        """Say whether the kernel ended something in it for want of memory; None where it does not tell."""
        with suppress(OSError):
            events = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
            return events.get("oom_kill", "0") != "0"
        return None

    def kill(self) -> None:
        """Kill all that is in it, at once."""
        with suppress(OSError):  # Linux before 5.14; the supervisor kills one by one
            _write(self.folder / "cgroup.kill", "1")

    def remove(self) -> None:
        """Remove it, once what was in it has been reaped."""
        end_group(self.folder)


class Campaign:
    """The folder of a campaign's groups, which is gone, with all that is in it, when the context ends."""

    def __init__(self) -> None:
        """Make a folder below the group of this process and pass on what controllers there are.

        Raises: OSError: nothing may be made there, or there is no such group.
        """
        delegated = find_delegated()
        if delegated is None:
            raise FileNotFoundError("no hierarchy of control groups of version 2 is mounted")
        self.folder = Path(tempfile.mkdtemp(prefix="codegraft-", dir=delegated))
        for folder in (delegated, self.folder):
            for controller in _LIMITS:
                with suppress(OSError):  # not delegated, or the folder has processes of its own
                    _write(folder / "cgroup.subtree_control", f"+{controller}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end_group(self.folder)


def group_name(launcher: int, supervisor: int) -> str:
    """Name the group of a run; the number of a process alone is taken again in each namespace."""
    return f"run-{launcher}-{supervisor}"


def end_group(folder: Path) -> None:
    """Kill all that is in a group and the groups below it, and remove them. Nothing happens where there is none."""
    with suppress(OSError):
        _write(folder / "cgroup.kill", "1")
    give_up_at = time.monotonic() + _PATIENCE_S
    while folder.exists() and time.monotonic() < give_up_at:
        for below in (*folder.glob("*/"), folder):
            with suppress(OSError):  # its last process has not been reaped yet
                below.rmdir()
        if folder.exists():
            time.sleep(_REST_S)


def find_delegated() -> Path | None:
    """Return the group of this process in the version 2 hierarchy, if one is mounted."""
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), None)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if own is not None and source.startswith("cgroup2 "):
            root, mounted_at = mount.split()[3:5]
            return Path(mounted_at, os.path.relpath(own, root))
    return None


def why_not() -> tuple[str, str]:
    """Try it: make a group, move a process in, end it. Returns: why it does not work here, or else its label."""
    delegated = find_delegated()
    if delegated is None:
        return "no hierarchy of version 2 is mounted", ""
    try:
        with Campaign() as campaign:
            group = Group(campaign.folder, "probe", memory_bytes=1 << 30)
            _try_group(group)
            return "", group.label
    except OSError as error:
        return (
            f"{delegated}: {error.strerror or error}; start in a delegated group, as systemd-run --user --scope -p Delegate=yes does",
            "",
        )


def _try_group(group: Group) -> None:
    """Let a process die in the group. Raises: OSError: it cannot be moved in, or is not killed."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            _write(group.folder / "cgroup.procs", str(process.pid))
            _write(group.folder / "cgroup.kill", "1")
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise OSError("what is in a group is not ended by cgroup.kill") from error
        finally:
            process.kill()


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY)  # as an existing file: in a group none can be made
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
