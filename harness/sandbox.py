"""What a process may still do once target code runs in it: Landlock, seccomp and empty capabilities, through ctypes.

The three need no root, no packages and less than a millisecond, and a process can only add to them, never take them back.
Landlock hides every file that is not granted (held-out data, other runs, the user's home) and forbids signals to
processes outside; seccomp takes away the network and the system calls that undo isolation; without capabilities a trial
of root is a normal user. Where the kernel lacks a layer it is skipped, and the level says so: `posix+landlock7+seccomp`.

Not covered: chmod and utime of files that the user owns (Landlock has no right for them), /dev/shm (so multiprocessing
locks and DataLoader workers need `access = None`), memory and process counts (the supervisor's part).
Sources: man 7 landlock, man 2 seccomp, include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.orders import Access

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38  # linux/prctl.h

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

# --- seccomp: what answers EPERM, by name, with its number on each architecture


class _Machine(NamedTuple):
    audit: int  # linux/audit.h
    denied: tuple[int, ...]  # asm/unistd.h


_DENIED = {  # system call: (x86_64, aarch64)
    "socket": (41, 198),  # no network and no connection to a local service; socketpair stays
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "shmget": (29, 194),  # System V and POSIX queues reach across runs
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),  # its requests do not pass seccomp
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
}
_MACHINES = {
    "x86_64": _Machine(0xC000003E, tuple(x86 for x86, _ in _DENIED.values())),
    "aarch64": _Machine(0xC00000B7, tuple(arm for _, arm in _DENIED.values())),
}
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM  # linux/seccomp.h
_X32_BIT = 0x40000000  # x86_64's second set of numbers, which would pass a list of the first
_SECCOMP_MODE_FILTER = 2


def confine(access: Access) -> str:
    """Give up, for this process and all that it starts, what the access does not grant; for good.

    Returns: the layers now in force, as in "landlock7+seccomp"; empty where the kernel has none.
    """
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return ""
    _drop_capabilities()
    abi = _restrict_files(access)
    return "+".join([f"landlock{abi}"] * (abi > 0) + ["seccomp"] * _filter_calls())


def _drop_capabilities() -> None:
    """Make root a normal user. A process without capabilities has none to drop, and the calls fail harmlessly."""
    for capability in range(64):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _LIBC.capset(header, bytes(24))


def _restrict_files(access: Access) -> int:
    """Apply Landlock and return its ABI version, or 0 where the kernel has none."""
    abi: int = max(0, _LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    if abi == 0:
        return 0
    rights = _RIGHTS[min(abi, max(_RIGHTS))]
    fields = (rights, _ALL_TCP, _ALL_SCOPES)[: 1 + (abi >= _TCP_SINCE) + (abi >= _SCOPES_SINCE)]
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = _checked(
        _LIBC.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    )
    for path in (*_SYSTEM, *_interpreter_paths(), *access.readable):
        _grant(ruleset, path, rights & _READ)
    devices = (str(path) for pattern in _DEVICES for path in Path("/dev").glob(pattern))
    for path in (*devices, *access.writable):
        _grant(ruleset, path, rights)
    _checked(_LIBC.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    os.close(ruleset)
    return abi


def _interpreter_paths() -> Iterable[str]:
    """Name the interpreter, the standard library and every place that it imports from."""
    return {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve()), *filter(None, sys.path)}


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no right
    if not Path(path).is_dir():
        rights &= _OF_FILES
    beneath = struct.pack("=Qi", rights, target)  # struct landlock_path_beneath_attr, packed
    _checked(_LIBC.syscall(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), 1, beneath, ctypes.c_uint32(0)))
    os.close(target)


def _filter_calls() -> bool:
    """Apply seccomp; say whether it is in force."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    program = _program(machine)
    code = ctypes.create_string_buffer(program)
    length = len(program) // 8
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", length, ctypes.addressof(code)))  # struct sock_fprog
    return bool(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) == 0)


def _program(machine: _Machine) -> bytes:
    """Assemble the filter: the wrong architecture dies, a denied call answers EPERM, all else passes."""
    n_denied = len(machine.denied)
    steps = [
        (_LOAD, 0, 0, 4),  # struct seccomp_data: nr at 0, arch at 4
        (_JUMP_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_JUMP_AT_LEAST, n_denied + 1, 0, _X32_BIT),
        *((_JUMP_EQUAL, n_denied - i, 0, number) for i, number in enumerate(machine.denied)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock failed: {os.strerror(ctypes.get_errno())}")
    return result
