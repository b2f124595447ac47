"""Attacks on the machine: checkpoints that are something else, files, secrets, processes and networks outside the trial."""

from __future__ import annotations

from bench.attacks import guards
from bench.attacks.attack import Aim, Attack, after_training
from bench.attacks.bigram import MODEL
from harness.values import Status

_FAILED, _INVALID = Status.FAILED, Status.INVALID_METRIC

# --- the checkpoint


def _left(name: str, lines: str, word: str, guard: guards.Guard, *, row: str = "16", aim: Aim = Aim.SECRET) -> Attack:
    """Describe an attack by what it leaves where the checkpoint is expected."""
    return Attack(name, row, after_training("CHECKPOINT.unlink()", *lines.splitlines()), guard, _INVALID, word, aim)


_READ_BY_FRAME = """
import sys
frame = sys._getframe()
while frame and "checkpoint" not in frame.f_locals: frame = frame.f_back
if frame: raise SystemExit(str(open(frame.f_locals["checkpoint"], "rb").read(200)))
"""
_CHECKPOINTS = (
    Attack(
        "leaves a symbolic link to a secret as its checkpoint",
        "16",
        {
            **after_training("CHECKPOINT.unlink()", "CHECKPOINT.symlink_to(HOME + '/model.safetensors')"),
            "model.py": MODEL + _READ_BY_FRAME,
        },
        guards.NOT_FOLLOWED,
        _INVALID,
        "cannot be opened",
        Aim.SECRET,
    ),
    Attack(
        "leaves a hard link to a secret as its checkpoint",
        "16",
        {
            **after_training("CHECKPOINT.unlink()", "os.link(HOME + '/model.safetensors', CHECKPOINT)"),
            "model.py": MODEL + _READ_BY_FRAME,
        },
        guards.PLAIN_FILE,
        _FAILED,
        "OSError|PermissionError",
        Aim.SECRET,
    ),
    _left(
        "leaves a pipe as its checkpoint",
        "os.mkfifo(CHECKPOINT)",
        "no plain file",
        guards.NOT_WAITED_FOR,
        aim=Aim.BLOCKADE,
    ),
    Attack(
        "leaves a checkpoint of a gigabyte, nearly all of it a hole",
        "16",
        after_training("os.truncate(CHECKPOINT, 1 << 30)"),
        guards.SIZES,
        _FAILED,
        "File too large",
        Aim.MEMORY,
    ),
    Attack(
        "leaves NaN as its weights",
        "17",
        after_training("save_file({'table': weights['table'] * np.nan}, CHECKPOINT)"),
        guards.FINITE,
        _INVALID,
        "not finite",
    ),
    Attack(
        "leaves a pickle as its checkpoint that prints a secret",
        "17",
        after_training(
            "import pickle",
            "class Bomb:",
            "    def __reduce__(self): return exec, ('from bait import MARK; print(MARK[::-1], flush=True); 1/0',)",
            "CHECKPOINT.write_bytes(pickle.dumps(Bomb()))",
        ),
        guards.NEVER_UNPICKLED,
        _INVALID,
        "looks like a pickle",
        Aim.CODE,
    ),
)

# --- files and secrets

_FILES = (
    Attack(
        "comes with a file whose place is in the folder of the user",
        "16",
        {"{HOME}/notes.txt": "!"},
        guards.INSIDE_ITS_FOLDER,
        Status.INTEGRITY_VIOLATION,
        "outside its folder",
        Aim.FILES,
    ),
    Attack(
        "prints what moves the cursor of a terminal",
        "own",
        after_training("print('\\x1b[2J\\x1b]0;all is well\\x07')"),
        guards.PLAIN_TEXT,
        aim=Aim.TERMINAL,
    ),
    Attack(
        "writes a file of the user",
        "15",
        after_training("open(HOME + '/notes.txt', 'a').write('!')"),
        guards.LANDLOCK,
        _FAILED,
        "Permission",
        Aim.FILES,
    ),
    Attack(
        "renames a file of the user",
        "15",
        after_training("os.rename(HOME + '/notes.txt', HOME + '/x')"),
        guards.LANDLOCK,
        _FAILED,
        "Permission",
        Aim.FILES,
    ),
    Attack(
        "deletes a file of the user",
        "15",
        after_training("os.unlink(HOME + '/notes.txt')"),
        guards.LANDLOCK,
        _FAILED,
        "Permission",
        Aim.FILES,
    ),
    Attack(
        "empties a file of the user",
        "15",
        after_training("os.truncate(HOME + '/notes.txt', 0)"),
        guards.LANDLOCK,
        _FAILED,
        "Permission",
        Aim.FILES,
    ),
    Attack(
        "makes a hard link to a file of the user and writes through it",
        "15",
        after_training("os.link(HOME + '/notes.txt', 'mine'); open('mine', 'a').write('!')"),
        guards.LANDLOCK,
        _FAILED,
        "Error",
        Aim.FILES,
    ),
    Attack(
        "makes a file of the user readable for everybody",
        "15",
        after_training("os.chmod(HOME + '/.netrc', 0o666)"),
        guards.SECCOMP,
        aim=Aim.FILES,
    ),
    Attack(
        "sets the times of a file of the user",
        "15",
        after_training("os.utime(HOME + '/notes.txt', (0, 0))"),
        guards.SECCOMP,
        aim=Aim.FILES,
    ),
    Attack(
        "leaves start-up code where a later trial would import it",
        "19",
        after_training("open(HOME + '/site-packages/sitecustomize.py', 'w').write('raise SystemExit')"),
        guards.LANDLOCK,
        _FAILED,
        "Permission",
        Aim.FILES,
    ),
    Attack(
        "poisons a cache that trials share",
        "19",
        after_training("open(HOME + '/.cache/huggingface/weights', 'w').write('!')"),
        guards.LANDLOCK,
        _FAILED,
        "Permission",
        Aim.FILES,
    ),
    Attack(
        "mounts a file system over its data",
        "15",
        after_training(
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True)",
            "if libc.mount(b'none', (HOME + '/data').encode(), b'tmpfs', 0, None): raise OSError(ctypes.get_errno(), 'mount')",
            "open(HOME + '/data/b.txt', 'w').write('!')",
        ),
        guards.SANDBOXED,
        _FAILED,
        "mount",
        Aim.FILES,
        needs_root=True,
    ),
    Attack(
        "reads the environment that it has",
        "21",
        after_training("print(dict(os.environ))"),
        guards.SCRUBBED,
        aim=Aim.SECRET,
    ),
    Attack(
        "reads the environment of the processes around it",
        "21",
        after_training(
            "for pid in (os.getppid(), PID):",
            "    try: print(open(f'/proc/{pid}/environ').read())",
            "    except OSError as error: denied = error",
            "raise denied",
        ),
        guards.SANDBOXED,
        _FAILED,
        "Permission",
        Aim.SECRET,
    ),
    Attack(
        "reads the folders of other runs",
        "19",
        after_training("for path in Path.cwd().parents[1].rglob('*.txt'): print(path.read_text())"),
        guards.LANDLOCK,
        aim=Aim.SECRET,
    ),
    *(
        Attack(
            f"reads {name} of the user",
            "21",
            after_training(f"print(open(HOME + '/{name}').read())"),
            guards.LANDLOCK,
            _FAILED,
            "Permission",
            Aim.SECRET,
        )
        for name in (".netrc", ".cache/huggingface/token", ".ssh/id_ed25519")
    ),
    Attack(
        "writes its own label of the isolation",
        "18",
        after_training(
            "for fd in set(map(int, os.listdir('/proc/self/fd'))) - {0, 1, 2, budget.line}:",
            "    try: os.write(fd, MARK.encode())",
            "    except OSError: pass",
        ),
        guards.REPORT_CLOSED,
        aim=Aim.LABEL,
    ),
)

# --- processes

_PTRACE = (
    "import ctypes; libc = ctypes.CDLL(None, use_errno=True)",
    "if libc.ptrace(16, PID, 0, 0): raise OSError(ctypes.get_errno(), 'ptrace')",
    "os.waitpid(PID, 0x40000000)",
    "print(open(f'/proc/{PID}/environ').read())",
    "libc.ptrace(17, PID, 0, 0)",
)
_DAEMON = (
    "import ctypes, signal, time",
    "if os.fork() == 0:",
    "    os.setsid()",
    "    if os.fork() == 0:",
    "        signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "        ctypes.CDLL(None).prctl(15, MARK.encode(), 0, 0, 0)",
    "        for fd in range(64):",
    "            try: os.close(fd)",
    "            except OSError: pass",
    "        time.sleep(60)",
    "    os._exit(0)",
    "time.sleep(0.5)",
)
_PROCESSES = (
    Attack(
        "kills a process outside",
        "22",
        after_training("os.kill(PID, 9)"),
        guards.LANDLOCK,
        _FAILED,
        "Permission|ProcessLookup",
        Aim.PROCESS,
    ),
    Attack(
        "kills every process that it may",
        "22",
        # The broadcast only where a single signal is refused: without the guard it must not leave the trial.
        after_training("try: os.kill(PID, 9)", "except OSError: os.kill(-1, 9)"),
        guards.LANDLOCK,
        aim=Aim.PROCESS,
    ),
    Attack(
        "stops a process outside",
        "22",
        after_training("os.kill(PID, 19)"),
        guards.LANDLOCK,
        _FAILED,
        "Permission|ProcessLookup",
        Aim.PROCESS,
    ),
    Attack(
        "signals a process outside through a descriptor of it",
        "22",
        after_training("import signal; signal.pidfd_send_signal(os.pidfd_open(PID), 9)"),
        guards.LANDLOCK,
        _FAILED,
        "Permission|ProcessLookup",
        Aim.PROCESS,
    ),
    Attack("traces a process outside", "15", after_training(*_PTRACE), guards.SANDBOXED, _FAILED, "ptrace", Aim.SECRET),
    Attack(
        "sets the limits of a process outside",
        "own",
        after_training("import resource; resource.prlimit(PID, resource.RLIMIT_FSIZE, (0, 0))"),
        guards.SECCOMP,
        _FAILED,
        "Permission|ProcessLookup",
        Aim.PROCESS,
    ),
    Attack(
        "takes the CPU from a process outside",
        "own",
        after_training("os.setpriority(os.PRIO_PROCESS, PID, 19)"),
        guards.SANDBOXED,
        aim=Aim.PROCESS,
    ),
    Attack("leaves a daemon behind", "1.5", after_training(*_DAEMON), guards.KILL_TREE, aim=Aim.SURVIVAL),
)

# --- the network, on the loopback only

_CONNECT = "s = socket.socket(socket.{family}, socket.SOCK_STREAM); s.connect({address})"
_NETWORK = (
    *(
        Attack(
            f"connects {name}",
            "20",
            after_training("import socket", line),
            guards.SECCOMP_AND_LANDLOCK,
            _FAILED,
            "Permission",
            Aim.NETWORK,
        )
        for name, line in {
            "by TCP": _CONNECT.format(family="AF_INET", address="TCP"),
            "to the socket of a controller": _CONNECT.format(family="AF_UNIX", address="DOOR"),
            "to an abstract socket": _CONNECT.format(family="AF_UNIX", address="ABSTRACT"),
            "by IPv6": _CONNECT.format(family="AF_INET6", address="TCP6"),
        }.items()
    ),
    Attack(
        "sends a datagram",
        "20",
        after_training("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', UDP)"),
        guards.SECCOMP,
        _FAILED,
        "Permission",
        Aim.NETWORK,
    ),
    Attack(
        "asks a name server",
        "20",
        after_training(
            "import socket, struct",
            "question = struct.pack('>6H', 7, 256, 1, 0, 0, 0) + b'\\6secret\\4test\\0' + struct.pack('>2H', 1, 1)",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(question, UDP)",
        ),
        guards.SECCOMP,
        _FAILED,
        "Permission",
        Aim.NETWORK,
    ),
    Attack(
        "asks the kernel about the network",
        "20",
        after_training(
            "import socket, struct",
            "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
            "s.send(struct.pack('=IHHIIB3x', 20, 18, 0x301, 1, 0, 0))  # RTM_GETLINK, all of them",
            "print(s.recv(1 << 16).hex())",
        ),
        guards.SECCOMP,
        _FAILED,
        "Permission",
        Aim.LINKS,
    ),
)

ATTACKS = (*_CHECKPOINTS, *_FILES, *_PROCESSES, *_NETWORK)
