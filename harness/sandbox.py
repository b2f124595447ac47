"""What a process may still do once target code runs in it: Landlock, seccomp and empty capabilities, through ctypes.

The three need no root, no packages and less than a millisecond, and a process can only add to them, never take them back.
Landlock hides every file that is not granted (held-out data, other runs, the user's home) and forbids signals to
processes outside; seccomp takes away the network and the system calls that undo isolation; without capabilities a trial
of root is a normal user. Where the kernel lacks a layer it is skipped, and the level says so: `posix+landlock7+seccomp`.

Not covered: /dev/shm (so multiprocessing locks and DataLoader workers need `access = None`), what other processes show of
themselves in /proc (their command lines), memory and process counts (the supervisor's part).
Sources: man 7 landlock, include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.orders import SANDBOX_LAYERS
from harness.seccomp import filter_calls

if TYPE_CHECKING:
    from collections.abc import Container

    from harness.orders import Access

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38  # linux/prctl.h

# --- what every sandbox grants besides its Access

_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/proc", "/sys/devices", "/sys/fs/cgroup"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/mime.types"),
    *("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
)
_DEVICES = ("null", "nvidia*", "kfd", "dri")  # below /dev, to write as well

# --- Landlock: access rights by the ABI version that brought them

_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # the kernel refuses the others on a file
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_SINCE, _SCOPES_SINCE = 4, 6  # ABI versions: bind and connect; signals and abstract sockets
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11


def confine(access: Access, layers: Container[str] = SANDBOX_LAYERS) -> str:
    """Give up, for this process and all that it starts, what the access does not grant; for good.

    layers: those to use. Without any, nothing is given up.
    Returns: the layers now in force, as in "landlock7+seccomp"; empty where the kernel has none.
    """
    wants_landlock, wants_seccomp = (layer in layers for layer in SANDBOX_LAYERS)
    if not (wants_landlock or wants_seccomp) or _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return ""
    _drop_capabilities()
    abi = _restrict_files(access) if wants_landlock else 0
    return "+".join([f"landlock{abi}"] * (abi > 0) + ["seccomp"] * (wants_seccomp and filter_calls()))


def _drop_capabilities() -> None:
    """Make root a normal user. A process without capabilities has none to drop, and the calls fail harmlessly."""
    capability = 0
    while _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:  # up to the kernel's last
        capability += 1
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _LIBC.capset(header, bytes(24))


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel offers, or 0 where it has none."""
    abi: int = _LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, abi)


def _restrict_files(access: Access) -> int:
    """Apply Landlock and return its ABI version, or 0 where the kernel has none."""
    abi = landlock_abi()
    if abi == 0:
        return 0
    rights = _RIGHTS[min(abi, max(_RIGHTS))]
    fields = (rights, _ALL_TCP, _ALL_SCOPES)[: 1 + (abi >= _TCP_SINCE) + (abi >= _SCOPES_SINCE)]
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = _checked(
        _LIBC.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    )
    system, devices = common_paths()
    for path in {*system, *filter(None, sys.path), *access.readable}:
        _grant(ruleset, path, rights & _READ)
    for path in (*devices, *access.writable):
        _grant(ruleset, path, rights)
    _checked(_LIBC.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    os.close(ruleset)
    return abi


@cache
def common_paths() -> tuple[frozenset[str], tuple[str, ...]]:
    """Return what every sandbox may read, and the devices that it may use; looked up once, forks know it.

    Where modules are imported from is not among them: that is a process's own sys.path.
    """
    interpreter = (sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve()))
    devices = (str(path) for pattern in _DEVICES for path in Path("/dev").glob(pattern))
    return frozenset(filter(os.path.exists, (*_SYSTEM, *interpreter))), tuple(devices)


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no right
    if not stat.S_ISDIR(os.fstat(target).st_mode):
        rights &= _OF_FILES
    beneath = struct.pack("=Qi", rights, target)  # struct landlock_path_beneath_attr, packed
    _checked(_LIBC.syscall(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), 1, beneath, ctypes.c_uint32(0)))
    os.close(target)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock failed: {os.strerror(ctypes.get_errno())}")
    return result
