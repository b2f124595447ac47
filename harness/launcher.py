"""The launcher: a process, exec'ed once with a clean environment, that supervisors and their trials are forked from.

Importing torch and what its first optimizer pulls in costs seconds of CPU, and a fork of a process that has done so
10 ms. So the launcher imports the target's third-party modules once, never a module of the target, warms them up on one
thread (a fork of a process whose OpenMP pool runs hangs) and freezes the heap, so that forks share its pages. Without
modules to import, it starts every trial in a fresh interpreter; all else is the same, results included.

This is the controller's side; the other one is harness.forks.
"""

from __future__ import annotations

import json
import math
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from harness.forks import READY, RETIRE, Station, main
from harness.meter import N_MARKS
from harness.orders import SANDBOX_LAYERS, Answer, Ending, Order, parse_message
from harness.processes import namespaces, start_for_good
from harness.supervisor import last_line
from harness.trial import PACKAGE_ROOT
from harness.values import Status, TrialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.stopping import StoppingRule

MAX_STARTS = 3000  # of one launcher; importing torch again costs 3 s of CPU, so 1 ms of each, and bounds whatever leaks
_MEET_S, _LOOK_S = 60.0, 0.05  # for an engine to start its container, and between two looks whether it has failed
_BOOT = f"import sys; sys.path.insert(0, {PACKAGE_ROOT!r}); from harness.forks import {main.__name__} as main; main(sys.argv[1:])"


class Run:
    """A supervised process that has been started."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self.wait()

    def wait(self, rule: StoppingRule | None = None) -> Ending:
        """Return how it ended, once it and all that it started is gone.

        rule: says at every mark whether it goes on, if its order asks; without one it does.
        """
        doomed_at = math.nan
        with self._door, suppress(OSError), self._door.makefile("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):  # the supervisor was killed while it wrote
                    break
                said = parse_message(line)
                if isinstance(said, Ending):
                    return replace(said, doomed_at=doomed_at)
                reason = rule.verdict(said.curve, said.cpu_s) if rule and math.isnan(doomed_at) else ""
                if reason and rule and rule.audited:
                    doomed_at, reason = len(said.curve) / N_MARKS, ""
                with suppress(OSError):  # it has ended meanwhile: its ending is on the way
                    self._door.sendall(Answer(len(said.curve), reason).to_line())
        return Ending(Status.INFRA_ERROR, "its supervisor is gone")

    def cancel(self) -> None:
        """Tell its supervisor to end it; `wait` returns when nothing of it is left."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_WR)


class Enclosure(Protocol):
    """What a launcher can be started in, with all that it starts."""

    @property
    def name(self) -> str:
        """Its name in the label of a run."""

    @property
    def inherits(self) -> bool:
        """Whether descriptors pass into it."""

    def around(self, command: Sequence[str], scratch: Path, env: Mapping[str, str]) -> list[str]:
        """Return the command line that starts the command inside, where it finds the environment."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the processes of a launcher are isolated by."""

    layers: tuple[str, ...] = SANDBOX_LAYERS  # of each process that has a sandbox
    enclosure: Enclosure | None = None
    groups: Path | None = None  # the campaign's control groups, removed in the end
    is_grouped: bool = True  # whether each process with a sandbox gets one of them


class Launcher:
    """The controller's side: starts processes, from any thread.

    A launcher process is replaced after MAX_STARTS and whenever somebody asks for it; what runs below the old one runs on.
    """

    def __init__(
        self, preload: Sequence[str], scratch: Path, env: Mapping[str, str], within: Surroundings = Surroundings()
    ) -> None:
        """Start a launcher that imports preload, owns scratch and lives in env, within these surroundings."""
        self._preload = tuple(preload)
        self._scratch = scratch
        self._env = dict(env)
        self._within = within
        self._lock = threading.Lock()
        self._is_closed = False
        self._n_spawned = self._n_started = 0
        self._retired: list[_Post] = []
        self._next: _Post | None = None
        self._post = self._spawn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process that starts the next order, or what it is enclosed in."""
        return self._post.process.pid

    def close(self) -> None:
        """End what still runs and the launcher, and wait until all of it is gone."""
        with self._lock:
            self._is_closed = True
            for post in (*self._retired, *filter(None, [self._next]), self._post):
                post.close()

    def wait_until_ready(self) -> None:
        """Wait for the imports.

        Raises: TrialError: the launcher ended instead; with its last line.
        """
        self._post.wait_until_ready()

    def start(self, order: Order, passed: Sequence[int] = ()) -> Run:
        """Start the order in a process of its own, which gets the passed descriptors as FIRST_FD and following.

        Raises: OSError: the launcher has been closed.
        """
        order = replace(order, layers=tuple(layer for layer in order.layers if layer in self._within.layers))
        near, far = socket.socketpair()
        try:
            with far, self._lock:
                self._renew()
                self._send(order.to_json().encode(), [far.fileno(), *passed])
        except BaseException:
            near.close()
            raise
        return Run(near)

    def replace(self) -> None:
        """Have the launcher process replaced, since something is wrong with it; waits for the new one, so that a repeated run gets it."""
        with self._lock:
            if not self._is_closed:
                self._next = self._next or self._spawn()
                self._take_over()

    def _renew(self) -> None:
        """Let the successor take over once it is ready, so that no run waits for imports.

        Raises: OSError: the launcher is closed, and a successor would outlive it.
        """
        if self._is_closed:
            raise OSError("the launcher is closed")
        self._n_started += 1
        for post in [each for each in self._retired if not each.is_running()]:
            self._retired.remove(post)
            post.close()
        if self._next is None and self._n_started > MAX_STARTS:
            self._next = self._spawn()
        if self._next is not None and self._next.has_answered():
            self._take_over()

    def _take_over(self) -> None:
        post, self._next, self._n_started = self._next, None, 0
        assert post is not None  # whoever calls has spawned it
        try:
            post.wait_until_ready()
        except TrialError:  # the old one may still work
            post.close()
            return
        self._post.retire()
        self._retired.append(self._post)
        self._post = post

    def _send(self, message: bytes, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._post.channel, [message], descriptors)
        except ConnectionError:  # the launcher was killed: its runs are lost, the next ones need not be
            self._post.close()
            self._post = self._spawn()
            self._post.wait_until_ready()
            socket.send_fds(self._post.channel, [message], descriptors)

    def _spawn(self) -> _Post:
        self._n_spawned += 1
        name = self._within.enclosure.name if self._within.enclosure else ""
        return _Post(
            Station(
                self._preload,
                str(self._scratch),
                self._n_spawned,
                str(self._within.groups or ""),
                self._within.is_grouped,
                name,
                namespaces() if name else (),
            ),
            self._env,
            self._within.enclosure,
        )


class _Post:
    """One launcher process, as the controller sees it."""

    def __init__(self, station: Station, env: Mapping[str, str], enclosure: Enclosure | None) -> None:
        self._station = station
        self._env = env
        self._enclosure = enclosure
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the post
        if enclosure and not enclosure.inherits:
            self.channel = self._meet(Path(station.scratch, f"launcher-{station.number}"))
            return
        self.channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self.process = start_for_good(partial(self._start, str(far.fileno()), (far.fileno(),)))

    def has_answered(self) -> bool:
        """Whether it is ready, or has ended."""
        return bool(select.select([self.channel], (), (), 0)[0])

    def wait_until_ready(self) -> None:
        """Wait for the imports. Raises: TrialError: it ended instead; with its last line."""
        if self.channel.recv(len(READY)) != READY:
            self.process.wait()
            self._complaints.seek(0)
            said = last_line(self._complaints.read().decode(errors="replace"))
            raise TrialError(f"launcher: ended before it was ready ({said})")

    def retire(self) -> None:
        """Give it no more orders; it ends with its last run."""
        with suppress(ConnectionError):
            self.channel.send(RETIRE)

    def is_running(self) -> bool:
        """Whether it still has runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """End it and what runs below it."""
        self.channel.close()
        self.process.wait()
        self._complaints.close()

    def _meet(self, door: Path) -> socket.socket:
        """Start it where no descriptor can be inherited, and wait until it connects, or has ended: then its channel is, too."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(door))
            listener.listen(1)
            self.process = start_for_good(partial(self._start, str(door), ()))
            give_up_at = time.monotonic() + _MEET_S
            try:
                while self.process.poll() is None and time.monotonic() < give_up_at:
                    if select.select([listener], (), (), _LOOK_S)[0]:
                        return listener.accept()[0]
            finally:
                door.unlink()
        self.process.kill()
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        far.close()
        return near

    def _start(self, channel: str, passed: Sequence[int]) -> subprocess.Popen[bytes]:
        told = json.dumps(asdict(self._station))
        command = [sys.executable, "-P", "-s", "-B", "-c", _BOOT, channel, told]
        env: Mapping[str, str] | None = self._env
        if self._enclosure:
            command = self._enclosure.around(command, Path(self._station.scratch), self._env)
            if not self._enclosure.inherits:
                env = None  # the client of an engine looks for its daemon by the user's environment
        return subprocess.Popen(
            command,
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._complaints,
            pass_fds=passed,
            start_new_session=True,  # Ctrl-C is for the controller
        )
