"""The filter of system calls that a confined process lives under, as lists of names, and its assembly into BPF.

Four answers besides yes. *Refused* (EPERM): the network, other processes' memory, namespaces, kernel objects that outlive a
run. *Pretended* (0, and nothing happens): changes of mode, owner, times and attributes of files, which no layer below a mount can
confine to a run's own folder, and of priorities, which reach every process of the user; copying libraries ask for them in
passing, and an error would end an honest run. *Missing* (ENOSYS): clone3, whose flags lie where no filter can look; the C
library then asks clone. *Checked*: allowed for what the process does to itself only.

The filter costs about 0.1 us per system call. It sees numbers, never paths or what a pointer leads to.
Sources: man 2 seccomp, man 2 bpf, asm/unistd.h, linux/sched.h, linux/fcntl.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    Step = tuple[int, int, int, int]  # struct sock_filter: code, jump if true, jump if false, constant

_PR_GET_SECCOMP, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 21, 22, 2
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_NONE = -1  # no such system call there

# --- system call: (x86_64, aarch64)

_REFUSED = {
    "socket": (41, 198),  # no network and no connection to a local service; socketpair stays
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "shmget": (29, 194),  # System V and POSIX queues reach across runs, by numbers that can be guessed
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_create": (319, 279),  # memory that is in no file and in no process
    "memfd_secret": (447, 447),
    "inotify_init": (253, _NONE),  # Landlock does not hide from it what happens to files
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
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
_PRETENDED = {
    "chmod": (90, _NONE),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, _NONE),
    "lchown": (94, _NONE),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, _NONE),
    "utimes": (235, _NONE),
    "futimesat": (261, _NONE),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}
_MISSING = {"clone3": (435, 435)}
_CLONE, _FCNTL, _PRCTL = (56, 220), (72, 25), (157, 167)
_OF_SELF = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
}  # the first argument is a process, 0 is the caller

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* that clone takes
_PR_SET_DUMPABLE = 4  # pretended: the supervisor could no longer look at the files that it holds open
_F_SETOWN, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY = 8, 15, 1024, 1026  # signals to others, files that others wait for

# --- BPF

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000  # linux/seccomp.h
_X32_BIT = 0x40000000  # x86_64's second set of numbers, which would pass a list of the first
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data; both architectures are little-endian


class _Check(NamedTuple):
    """A system call that is answered by one argument."""

    number: int
    argument: int
    jump: int  # how to compare
    values: Sequence[int]
    hit: int
    miss: int


def offers_filters() -> bool:
    """Say whether there is a filter for this kernel."""
    return platform.machine() in _AUDIT and ctypes.CDLL(None).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def filter_calls() -> bool:
    """Apply the filter to this process and all that it starts; say whether it is in force."""
    machine = platform.machine()
    if machine not in _AUDIT:
        return False
    program = _program(machine)
    code = ctypes.create_string_buffer(program)
    length = len(program) // 8
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", length, ctypes.addressof(code)))  # struct sock_fprog
    return bool(ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) == 0)


def _program(machine: str) -> bytes:
    """Assemble the filter: the wrong architecture dies, what no list names passes."""
    column = list(_AUDIT).index(machine)

    def numbers(calls: dict[str, tuple[int, int]]) -> list[int]:
        return [pair[column] for pair in calls.values() if pair[column] != _NONE]

    refused = _ERROR | errno.EPERM
    itself = (0, os.getpid())
    checks = [_Check(number, 0, _JUMP_EQUAL, itself, _ALLOW, refused) for number in numbers(_OF_SELF)]
    checks.append(_Check(_CLONE[column], 0, _JUMP_ANY_BIT, (_NEW_NAMESPACES,), refused, _ALLOW))
    commands = (_F_SETOWN, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY)
    checks.append(_Check(_FCNTL[column], 1, _JUMP_EQUAL, commands, refused, _ALLOW))
    checks.append(_Check(_PRCTL[column], 0, _JUMP_EQUAL, (_PR_SET_DUMPABLE,), _ERROR, _ALLOW))
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, refused),
        *(step for check in checks for step in _checked(check)),
        *_answer(numbers(_REFUSED), refused),
        *_answer(numbers(_PRETENDED), _ERROR),
        *_answer(numbers(_MISSING), _ERROR | errno.ENOSYS),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _answer(numbers: Sequence[int], answer: int) -> list[Step]:
    """Give all these calls one answer, and go on with any other."""
    return [*_any_of(_JUMP_EQUAL, numbers), (_RETURN, 0, 0, answer)]


def _checked(check: _Check) -> list[Step]:
    load = (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * check.argument)  # its low half: ids, commands and flags are 32 bits
    answers = [(_RETURN, 0, 0, check.hit), (_RETURN, 0, 0, check.miss)]
    body = [load, *_any_of(check.jump, check.values), *answers]
    return [(_JUMP_EQUAL, 0, len(body), check.number), *body]


def _any_of(jump: int, values: Sequence[int]) -> list[Step]:
    """Go on where the loaded number is any of the values, and skip one step where it is none."""
    last = len(values) - 1
    return [(jump, last - i, int(i == last), value) for i, value in enumerate(values)]
