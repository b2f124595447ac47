"""The table of faults, row by row."""

from __future__ import annotations

import signal
from functools import partial

from bench.faults import crashes, disks, guards, runs
from bench.faults.fault import Found, Row
from bench.faults.runs import Bad
from harness.values import Status

_FAILED, _OK, _TIMEOUT, _OOM = Status.FAILED, Status.OK, Status.TIMEOUT, Status.OOM


def _bad(lines: str, *statuses: Status, after: str = "", latest_s: float = 9.0) -> partial[Found]:
    return partial(runs.misbehave, Bad(lines, statuses, after, latest_s))


def _signalled(number: signal.Signals, *statuses: Status) -> partial[Found]:
    return partial(runs.scorer_signalled, number, statuses)


_CRASHES = (
    Row("1", "kill -9 at every point", "I1 I2 I7", crashes.every_point, guards.RECOVERY),
    Row("1", "kill -9 around learning and saving", "I1 I2 I7", crashes.points_of_ppo, guards.RECOVERY),
    Row("2", "kill -9 at any time", "I1 I2 I7", crashes.any_time, guards.COMMITTED),
    Row("23", "two controllers, and a stale lock", "I1 I2", crashes.two_controllers, guards.LOCKED),
    Row("25", "runs that end out of order", "I1 I7", crashes.out_of_order, guards.IN_ORDER),
)
_KILLED = (
    Row("3", "kill -9 of a supervisor", "I3 I8", partial(runs.killed, 2, 1), guards.TRIED_AGAIN),
    Row("3", "kill -9 of a supervisor, twice", "I3 I8", partial(runs.killed, 2, 2), guards.NAMED_INFRA),
    Row("3", "kill -9 of a launcher", "I3 I8", partial(runs.killed, 1, 1), guards.TRIED_AGAIN),
    Row(
        "3",
        "kill -9 of a scorer",
        "I3 I8",
        partial(runs.scorer_signalled, signal.SIGKILL, (Status.OK,)),
        guards.TRIED_AGAIN,
    ),
    Row("4", "SIGSTOP of a scorer", "I3 I9", _signalled(signal.SIGSTOP, _TIMEOUT), guards.GRACE),
)
_FORKS = "for _ in range(320):\n    os.posix_spawn('/bin/sleep', ['sleep', '60'], {})\ntime.sleep(2)"
_THREADS = "for _ in range(1000):\n    threading.Thread(target=time.sleep, args=(1,), daemon=True).start()"
_OPENS = "held = [os.open('/dev/null', os.O_RDONLY) for _ in range(3000)]"
_DAEMON = """\
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)"""
_PRINTS = "for _ in range(10_000):\n    os.write(1, b'x' * (1 << 20))"
_FILLS = "held = [bytearray(100 << 20) for _ in range(13)]\ntime.sleep(0.6)"
_SPARSE = "os.truncate(os.open('big', os.O_CREAT | os.O_WRONLY), 1 << 40)"
_FILES = "for i in range(1_000_000):\n    os.close(os.open(f'f{i}', os.O_CREAT | os.O_WRONLY))"
_ZOMBIES = "for i in range(20):\n    if os.fork() == 0:\n        os.fork() or time.sleep(60)\n        os._exit(0)"
_DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
_HELD_OPEN = "subprocess.Popen(['sleep', '60'], start_new_session=True)"
_EXIT = f"import atexit\n{_DEAF}\natexit.register(lambda: time.sleep(60))"
_STOPS = "os.kill(os.getpid(), signal.SIGSTOP)"
_BOMBS = (
    Row("4", "SIGSTOP of a run", "I3 I9", _bad(_STOPS, _TIMEOUT), guards.GRACE),
    Row("9", "fork bomb", "I3", _bad(_FORKS, _FAILED), guards.N_PROCESSES),
    Row("9", "thread bomb", "I3", _bad(_THREADS, _FAILED, _OOM), guards.DATA),
    Row("9", "fd bomb", "I3", _bad(_OPENS, _FAILED), guards.N_OPEN),
    Row("10", "double fork, setsid, SIGTERM ignored", "I3", _bad("", _OK, after=_DAEMON), guards.KILL_TREE),
    Row("11", "a grandchild that holds stdout open", "I3 I9", _bad("", _OK, after=_HELD_OPEN), guards.KILL_TREE),
    Row("12", "10 GB of output without a newline", "I4 I9", _bad(_PRINTS, Status.OUTPUT_LIMIT), guards.OUTPUT),
    Row("13", "memory bomb", "I3", _bad(_FILLS, _OOM), guards.MEMORY),
    Row("13", "a sparse file of 1 TB", "I3", _bad(_SPARSE, _FAILED), guards.FILE_SIZE),
    Row("13", "1,000,000 small files", "I3", _bad(_FILES, _OOM), guards.N_FILES),
    Row("14", "zombies, and orphans of zombies", "I3", _bad(_ZOMBIES, _OK), guards.KILL_TREE),
    Row(
        "30",
        "a training that never ends",
        "I3 I9",
        _bad(f"{_DEAF}\nwhile True:\n    time.sleep(0.01)", _TIMEOUT),
        guards.GRACE,
    ),
    Row("30", "an exit function that never ends", "I3 I9", _bad(_EXIT, _TIMEOUT), guards.GRACE),
    Row("25", "runs that end at their deadline", "I1 I9", runs.at_its_deadline, None),
)
_JUMPS = (guards.JUMPING,)
_CLOCKS = (
    Row("8", "a clock that jumps, a run of 1 s", "I1", _bad("time.sleep(1)", _OK), guards.MONOTONIC, _JUMPS),
    Row(
        "8",
        "a clock that jumps, a run that never ends",
        "I9",
        _bad(f"{_DEAF}\ntime.sleep(60)", _TIMEOUT),
        guards.GRACE,
        _JUMPS,
    ),
)


def _left(*lines: str, statuses: tuple[Status, ...] = (Status.INVALID_METRIC,)) -> partial[Found]:
    """Leave something else than a checkpoint where one is expected."""
    made = ("from pathlib import Path", "path = Path(checkpoint_path())", *lines)
    return _bad("", *statuses, after="\n".join(made))


_HEADER = "path.write_bytes((100 << 30).to_bytes(8, 'little') + b'x' * 64)"
_SHAPES = "save_file({name: np.ones(3) for name in model.weights}, path)"
_NANS = "save_file({name: value * np.nan for name, value in model.weights.items()}, path)"
_LINK = ("path.unlink()", "path.symlink_to('/dev/zero')")
_CHECKPOINTS = (
    Row("17", "a checkpoint cut short", "I6", _left("os.truncate(path, 100)"), guards.HARVEST),
    Row("17", "a checkpoint of a 100 GB header", "I6", _left(_HEADER), guards.HARVEST),
    Row("17", "a checkpoint of other shapes", "I6", _left(_SHAPES, statuses=(_FAILED, Status.INVALID_METRIC)), None),
    Row("17", "a checkpoint of NaN", "I6", _left(_NANS), guards.NUMBERS),
    Row("16", "a folder for a checkpoint", "I6 I9", _left("path.unlink()", "path.mkdir()"), guards.PLAIN_FILE),
    Row("16", "a pipe for a checkpoint", "I6 I9", _left("path.unlink()", "os.mkfifo(path)"), guards.PLAIN_FILE),
    Row("16", "a link to a device for a checkpoint", "I6 I9", _left(*_LINK), guards.FOLLOWED),
)
_DISKS = (
    Row("5", "a disk that is nearly full", "I2", disks.nearly_full, guards.ROOM, mounts=True),
    Row("5", "a disk that fills up", "I2 I7", disks.full, guards.ONE_LINE, mounts=True),
    Row("6", "files that may not grow (EFBIG)", "I2 I7", disks.too_large, guards.ONE_LINE),
    Row("6", "EIO and short writes on the ledger", "I2 I7", disks.failing, guards.ONE_LINE),
    Row("7", "a read-only folder", "I2", disks.read_only, guards.ONE_LINE, mounts=True),
    Row("7", "network file systems", "I2", disks.on_a_network, guards.NETWORKS),
    Row("29", "damage, for codegraft verify", "I2", disks.damaged, guards.CHAIN),
)
ROWS = (*_BOMBS, *_KILLED, *_CLOCKS, *_CHECKPOINTS, *_DISKS, *_CRASHES)
