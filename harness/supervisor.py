"""One supervisor per process: it forks it, grants its budget, reads its output, keeps its limits and ends its whole tree.

The supervisor is a subreaper in a process of its own, so everything that target code starts ends up below it and nothing
of a run outlives it: not a daemon that left the session and ignores SIGTERM, not after a normal exit either. It watches
by file descriptors (pidfd, pipes, sockets) and the monotonic clock, never blocks on the trial, and keeps only the first
and last part of what is printed. When the controller or the launcher is gone it ends the tree and itself.

Whether a training is worth the rest of its budget is asked of the run's owner, who sees the other runs: at every mark of the budget the
supervisor holds the grant back, sends the curve through the door and carries out the answer. So a decision falls at the same step every
time, and the trial has no say in it.
"""

from __future__ import annotations

import fcntl
import os
import re
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from harness.meter import Hints, Meter, n_marks
from harness.orders import KILLED, Ending, Question, parse_answer
from harness.processes import become_subreaper, descendants, die_with_parent, end_children, unnamed_bytes
from harness.trial import PACKAGE_ROOT, run_fresh, run_order
from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.cgroup import Group
    from harness.orders import Allowance, Order
    from harness.processes import Exit

TICK_S = 0.25  # between two looks at memory and CPU time
GRACE_S = 1.0  # between SIGTERM and SIGKILL
PATIENCE_S = 10.0  # for an answer to a Question; then the training goes on and no more is asked
GRACE_MESSAGES = 16  # questions that are still answered once the budget is used up
_HEAD_BYTES, _TAIL_BYTES = 16 << 10, 48 << 10  # of the output
# What else than a character stands in a log is shown, not obeyed: an escape sequence could rewrite what a terminal has printed before.
_PLAIN = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if code not in b"\t\n\r"}
_CHUNK_BYTES = 1 << 16
_LAST_WORDS = 4096  # characters of the log in which a crash says why
_MAX_PROCESSES = 256  # of one trial; a fork bomb passes it within a tick
_MAX_FILES = 10_000  # of one trial
_GRANT = struct.Struct("<d")
_QUESTIONS = {8: struct.Struct("<d"), 16: struct.Struct("<dd")}  # by length: work done, perhaps with a hint
_LONGEST_QUESTION = 17  # bytes that are read: one more than any has
_ABOVE = 64  # descriptors from here on are out of the way of those that a process is given
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the clock of a whole process
_OUT_OF_MEMORY = re.compile(r"MemoryError|std::bad_alloc|can't allocate memory|[Oo]ut of ?[Mm]emory")
_BOOT = (
    f"import sys; sys.path.insert(0, {PACKAGE_ROOT!r}); from harness.trial import {run_fresh.__name__} as run; run()"
)


def supervise(
    order: Order,
    door: socket.socket,
    passed: Sequence[int],
    *,
    fresh: bool,
    enclosure: str = "",
    group: Group | None = None,
) -> None:
    """Run the order to its end and send the Ending through the door, unless its other side has been closed.

    passed: descriptors for the process, which finds them from FIRST_FD on; a budget's socket goes before them.
    fresh: run it in a new interpreter, not in a fork of this one.
    enclosure: what this process is in already, for the label.
    group: the control group of the process.
    """
    become_subreaper()
    log, log_end = os.pipe()
    report, report_end = os.pipe()
    given = [report_end, *passed]
    meter = None
    if order.allowance:
        budget, budget_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given.insert(1, budget_end.detach())
        meter = (budget, order.allowance)
    supervisor = os.getpid()
    trial = os.fork()
    if trial == 0:
        _become_trial(order, supervisor, (log_end, *given), group, fresh=fresh)
    for fd in (log_end, *given):
        os.close(fd)
    watch = _Watch(order, trial, log, door, group)
    if meter:
        watch.grant_from(*meter)
    reaped = watch.follow()
    if watch.is_wanted:
        reached = os.read(report, _CHUNK_BYTES).decode()
        layers = (reached, enclosure, group.label if group else "") if reached else ()
        ending = watch.ending(reaped, isolation="+".join(filter(None, layers)))
        with suppress(OSError):  # the controller is gone as well
            door.sendall(ending.to_line())


class Ring:
    """The first and the last part of an output of any length."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self._head = b""
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Add data; what is neither in the first nor in the last part is forgotten."""
        self.n_bytes += len(data)
        room = _HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail = (self._tail + data[room:])[-_TAIL_BYTES:]

    def text(self) -> str:
        """Print what is kept, with a line that says what is not."""
        lost = self.n_bytes - len(self._head) - len(self._tail)
        gap = f"\n... {lost} bytes left out ...\n".encode() if lost else b""
        return (self._head + gap + self._tail).decode(errors="replace").translate(_PLAIN)


def last_line(log: str) -> str:
    """Return the last line of a log that says something, cut to a readable length."""
    return next((line.strip()[:300] for line in reversed(log.splitlines()) if line.strip()), "it printed nothing")


class _Watch:
    """The poll loop around one trial."""

    def __init__(self, order: Order, trial: int, log: int, door: socket.socket, group: Group | None) -> None:
        self._group = group
        self._is_short: bool | None = None  # of memory, by what the kernel says
        self.is_wanted = True  # somebody waits for the ending
        self._bounds = order.bounds
        self._folders = order.access.writable if order.access else ()
        self._trial = trial
        self._log = log
        self._ring = Ring()
        self._meter: Meter | None = None
        self._hints = Hints()
        self._asks = order.asks
        self._door = door
        self._waiting: tuple[int, Callable[[], None]] | None = None  # marks that were asked about, and what a yes does
        self._answer_by = 0.0
        self._stop: tuple[Status, str] | None = None
        self._is_over = False
        self._started_at = self._looked_at = time.monotonic()
        self._deadline = self._started_at + order.bounds.wall_s
        self._others_cpu_s = 0.0
        self._peak_rss_bytes = 0
        self._selector = selectors.DefaultSelector()
        os.set_blocking(log, False)
        self._on(log, self._read_log)
        self._on(os.pidfd_open(trial), self._leave)
        self._on(os.pidfd_open(os.getppid()), self._abandon)
        self._on(door.fileno(), self._hear)

    def grant_from(self, channel: socket.socket, allowance: Allowance) -> None:
        """Answer what the trial asks for its budget."""
        channel.setblocking(False)
        self._meter = meter = Meter(allowance, time.monotonic if allowance.unit == "wall_s" else self._cpu_s)
        self._on(channel.fileno(), lambda: self._answer(channel, meter))

    def follow(self) -> dict[int, Exit]:
        """Watch until the trial ends or is stopped, then end all that it left. Returns: what `end_children` reaped."""
        while not self._is_over:
            for key, _ in self._selector.select(min(TICK_S, max(0.0, self._deadline - time.monotonic()))):
                key.data()
            if not self._is_over:  # what has ended by itself has not run out of time
                self._check_time()
        if self._group:
            self._is_short = self._group.ran_out_of_memory()
            self._group.kill()
        reaped = end_children()
        if self._group:
            self._group.remove()
        self._drain_log()
        return reaped

    def ending(self, reaped: dict[int, Exit], *, isolation: str) -> Ending:
        """Say how it ended."""
        log = self._ring.text()
        if self._stop:
            status, detail = self._stop
        elif isolation and self._trial in reaped:
            status, detail = _judge_exit(reaped[self._trial].wait_status, log, is_short=self._is_short)
        else:
            status, detail = Status.INFRA_ERROR, f"the process did not start or did not end: {last_line(log)}"
        usages = [exit_.usage for exit_ in reaped.values()]
        return Ending(
            status=status,
            detail=detail,
            wall_s=time.monotonic() - self._started_at,
            cpu_s=sum(usage.ru_utime + usage.ru_stime for usage in usages),
            peak_rss_bytes=max([self._peak_rss_bytes, *(usage.ru_maxrss << 10 for usage in usages)]),
            steps=self._meter.n_granted if self._meter else 0,
            spent=self._meter.progress if self._meter else 0.0,
            log=log,
            isolation=isolation,
            curve=self._hints.curve(self._meter.progress) if self._meter else (),
        )

    def _on(self, fd: int, call: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, call)

    def _leave(self) -> None:
        self._is_over = True

    def _abandon(self) -> None:
        self._is_over, self.is_wanted = True, False

    def _kill(self, status: Status, detail: str) -> None:
        self._stop = self._stop or (status, detail)
        self._is_over = True

    def _ask_to_end(self, status: Status, detail: str) -> None:
        self._stop = (status, detail)
        self._deadline = time.monotonic() + GRACE_S
        os.kill(self._trial, signal.SIGTERM)

    def _read_log(self) -> None:
        if self._drain_log():
            self._selector.unregister(self._log)

    def _drain_log(self) -> bool:
        """Read all that is there and say whether nothing can follow."""
        with suppress(BlockingIOError):
            while data := os.read(self._log, _CHUNK_BYTES):
                self._ring.write(data)
                if self._ring.n_bytes > self._bounds.output_bytes:
                    self._kill(Status.OUTPUT_LIMIT, f"printed more than {self._bounds.output_bytes >> 10} kB")
                    return False
            return True
        return False

    def _answer(self, channel: socket.socket, meter: Meter) -> None:
        """Grant what is asked. After anything but a question (an end, half a number, unread answers) nothing is granted."""
        with suppress(OSError):
            question = channel.recv(_LONGEST_QUESTION)
            if len(question) in _QUESTIONS:
                done, *hints = _QUESTIONS[len(question)].unpack(question)
                for hint in hints:
                    self._hints.add(meter.progress, hint)
                marks_before, progress = n_marks(meter.progress), meter.grant(done)
                if self._asks and progress < 1.0 and n_marks(progress) > marks_before:
                    self._ask(channel, meter)
                else:
                    channel.send(_GRANT.pack(progress))
                if meter.n_overrun > GRACE_MESSAGES:
                    self._kill(Status.TIMEOUT, f"asked for {meter.n_overrun} more steps after its budget was used up")
                return
        self._selector.unregister(channel.fileno())
        channel.close()

    def _ask(self, channel: socket.socket, meter: Meter) -> None:
        """Hold the grant back until the owner of the run has said whether it goes on."""

        def go_on() -> None:
            self._waiting = None
            self._on(channel.fileno(), lambda: self._answer(channel, meter))
            with suppress(OSError):  # it did not wait for the answer: the next question tells
                channel.send(_GRANT.pack(meter.progress))

        curve = self._hints.curve(meter.progress)
        self._selector.unregister(channel.fileno())
        self._waiting, self._answer_by = (len(curve), go_on), time.monotonic() + PATIENCE_S
        self._door.sendall(Question(curve, self._cpu_s() / meter.progress).to_line())

    def _hear(self) -> None:
        """Read what the owner of the run says: an answer, or by closing the door that the run is not wanted any more."""
        line = self._door.recv(_CHUNK_BYTES)
        if not line:
            self._selector.unregister(self._door.fileno())
            self._kill(Status.CANCELLED, "its owner ended it")
            return
        answer = parse_answer(line)
        if self._waiting and self._waiting[0] == answer.n_marks and not self._stop:
            if answer.reason:
                self._ask_to_end(Status.STOPPED, answer.reason)
            else:
                self._waiting[1]()

    def _cpu_s(self) -> float:
        """Return the CPU time that the trial has used: its own to the microsecond, that of what it started to the tick."""
        return time.clock_gettime((~self._trial << 3) | _CPUCLOCK_SCHED) + self._others_cpu_s

    def _check_time(self) -> None:
        now = time.monotonic()
        if now >= self._deadline and self._stop:
            self._is_over = True  # the grace is over
        elif now >= self._deadline:
            self._ask_to_end(Status.TIMEOUT, f"ran longer than {self._bounds.wall_s:g} s")
        elif self._waiting and now >= self._answer_by and not self._stop:
            self._asks = False
            self._waiting[1]()
        elif now - self._looked_at >= TICK_S:
            self._looked_at = now
            self._check_use()

    def _check_use(self) -> None:
        running = descendants(os.getpid())
        rss_bytes = sum(process.rss_bytes for process in running)  # pages that they share count in each of them
        self._peak_rss_bytes = max(self._peak_rss_bytes, rss_bytes)
        self._others_cpu_s = sum(process.cpu_s for process in running if process.pid != self._trial)
        if len(running) > _MAX_PROCESSES:
            self._kill(Status.FAILED, f"started more than {_MAX_PROCESSES} processes")
        elif (stored_bytes := _stored_bytes(self._folders)) == sys.maxsize:
            self._kill(Status.OOM, f"wrote more than {_MAX_FILES} files")
        elif rss_bytes + stored_bytes + unnamed_bytes(process.pid for process in running) > self._bounds.memory_bytes:
            self._kill(Status.OOM, f"used more than {self._bounds.memory_bytes >> 20} MB of memory and files")
        elif not self._stop and (cpu_s := sum(process.cpu_s for process in running)) > self._bounds.cpu_s:
            self._ask_to_end(Status.TIMEOUT, f"used more than {self._bounds.cpu_s:g} s of CPU time")
        elif not self._stop and self._meter and self._meter.is_over(time.monotonic() - self._started_at, cpu_s):
            self._ask_to_end(Status.TIMEOUT, "used up its budget without an end; grant it more, or let it train less")


def _stored_bytes(folders: Sequence[str]) -> int:
    """Add up the files of a trial, which lie in memory; too many to count in passing are more than it may use.

    Entries are read one by one, because a list of a million of them would fill the supervisor.
    """
    pending, n_files, n_blocks = list(folders), 0, 0
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:  # a folder may be gone since it was listed
            for entry in entries:
                n_files += 1
                if n_files > _MAX_FILES:
                    return sys.maxsize
                with suppress(OSError):
                    n_blocks += entry.stat(follow_symlinks=False).st_blocks
                    pending += [entry.path] * entry.is_dir(follow_symlinks=False)
    return n_blocks * 512  # man 3 stat: the unit of st_blocks


def _judge_exit(wait_status: int, log: str, *, is_short: bool | None) -> tuple[Status, str]:
    """Say how a process ended by itself; is_short: whether the kernel says that memory ran out, None when it does not say."""
    exit_code = os.waitstatus_to_exitcode(wait_status)
    if is_short:
        return Status.OOM, "ended by the kernel, which had no more memory for it"
    if exit_code == 0:
        return Status.OK, ""
    if exit_code == -signal.SIGXCPU:
        return Status.TIMEOUT, "used up its CPU time"
    if exit_code == -signal.SIGKILL and is_short is None:
        return Status.OOM, f"{KILLED}, as the kernel does when memory runs out"
    said = f"killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit status {exit_code}"
    status = Status.OOM if _OUT_OF_MEMORY.search(log[-_LAST_WORDS:]) else Status.FAILED
    return status, f"{said}: {last_line(log)}"


def _become_trial(order: Order, supervisor: int, given: Sequence[int], group: Group | None, *, fresh: bool) -> NoReturn:
    """Be the process that runs the order, with the given descriptors as 1 (and 2), 3, 4, ... and no others."""
    try:
        if group:
            group.join()
        os.setsid()
        die_with_parent()
        if os.getppid() != supervisor:
            os._exit(1)
        log, *rest = given
        silence = os.open(os.devnull, os.O_RDONLY)
        lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD, _ABOVE) for fd in (silence, log, log, *rest)]
        for number, fd in enumerate(lifted):
            os.dup2(fd, number)
        os.closerange(len(lifted), os.sysconf("SC_OPEN_MAX"))
        if fresh:
            command = [sys.executable, "-P", "-s", "-B", "-c", _BOOT, replace(order, env={}).to_json()]
            os.execve(sys.executable, command, dict(order.env))  # not in the command, which every user may list
        run_order(order)
    except BaseException:  # noqa: BLE001 - a fork never returns into its parent's code
        traceback.print_exc()
    finally:
        os._exit(1)
