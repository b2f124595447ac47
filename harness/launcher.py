"""The launcher: a process, exec'ed once with a clean environment, that supervisors and their trials are forked from.

Importing torch and what its first optimizer pulls in costs seconds of CPU, and a fork of a process that has done so
10 ms. So the launcher imports the target's third-party modules once, never a module of the target, warms them up on one
thread (a fork of a process whose OpenMP pool runs hangs) and freezes the heap, so that forks share its pages. Without
modules to import, it starts every trial in a fresh interpreter; all else is the same, results included.

The launcher never runs target code. When the controller is gone it kills all that it started, deletes the scratch folder
and ends.
"""

from __future__ import annotations

import gc
import json
import math
import os
import select
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, Self

from harness.cgroup import Group, end_group, group_name
from harness.meter import N_MARKS
from harness.orders import SANDBOX_LAYERS, Answer, Ending, Order, parse_message, parse_order
from harness.pages import collapse_pages
from harness.processes import become_subreaper, end_children, namespaces, start_for_good
from harness.supervisor import last_line, supervise
from harness.trial import PACKAGE_ROOT
from harness.values import Status, TrialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from harness.stopping import StoppingRule

_MAX_MESSAGE = 1 << 20  # bytes of an order
_MAX_PASSED = 8  # descriptors with one order
MAX_STARTS = 3000  # of one launcher; importing torch again costs 3 s of CPU, so 1 ms of each, and bounds whatever leaks
_READY, _RETIRE = b"ready", b"retire"
_MEET_S, _LOOK_S = 60.0, 0.05  # for an engine to start its container, and between two looks whether it has failed
_PUT_OFF = ("numpy.ma", "numpy.random")  # what numpy imports when it is first used: 30 ms
_N_SWEEPS, _SWEEP_S = 20, 0.05  # of the scratch folder
_BOOT = f"import sys; sys.path.insert(0, {PACKAGE_ROOT!r}); from harness.launcher import main; main(sys.argv[1:])"


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
                reason = rule.verdict(said.curve) if rule and math.isnan(doomed_at) else ""
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


@dataclass(frozen=True, slots=True)
class Station:
    """What a launcher is told when it starts."""

    preload: tuple[str, ...]  # modules to import
    scratch: str  # the folder that it deletes in the end
    number: int  # among those that were started one after the other
    groups: str
    is_grouped: bool
    enclosure: str  # what it should find itself in
    outside: tuple[str, ...]  # the namespaces of the controller, which then are not its own


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
        order = replace(order, layers=self._within.layers)
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
        """Have the launcher process replaced, since something is wrong with it; at once returns, before the new one is ready."""
        with self._lock:
            self._next = self._next or self._spawn()

    def _renew(self) -> None:
        """Let the successor take over once it is ready, so that no run waits for imports."""
        self._n_started += 1
        if self._next is None and self._n_started > MAX_STARTS:
            self._next = self._spawn()
        if self._next is None or not self._next.has_answered():
            return
        post, self._next, self._n_started = self._next, None, 0
        try:
            post.wait_until_ready()
        except TrialError:  # the old one still works
            post.close()
            return
        self._post.retire()
        self._retired = [each for each in self._retired if each.is_running()]
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
        if self.channel.recv(len(_READY)) != _READY:
            self.process.wait()
            self._complaints.seek(0)
            said = last_line(self._complaints.read().decode(errors="replace"))
            raise TrialError(f"launcher: ended before it was ready ({said})")

    def retire(self) -> None:
        """Give it no more orders; it ends with its last run."""
        with suppress(ConnectionError):
            self.channel.send(_RETIRE)

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


def main(arguments: Sequence[str]) -> None:
    """Be a launcher: channel (a descriptor, or the path of a socket), and the station as JSON."""
    channel = _connect(arguments[0])
    station = Station(**json.loads(arguments[1]))
    if station.enclosure and (shared := set(station.outside) & set(namespaces())):
        raise RuntimeError(f"{station.enclosure} left it in {', '.join(sorted(shared))}")
    _import_all(station.preload)
    become_subreaper()
    channel.send(_READY)
    if _serve(channel, station):
        end_children()
        _clear(station)


def _connect(channel: str) -> socket.socket:
    if channel.isdigit():
        return socket.socket(fileno=int(channel))
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connected.connect(channel)
    return connected


def _clear(station: Station) -> None:
    """Delete what runs have left: also those of another launcher, which may still be dying when this one ends."""
    scratch = Path(station.scratch)
    for _ in range(1 if station.enclosure else _N_SWEEPS):  # in an enclosure the folder is a mount, which stays
        shutil.rmtree(scratch, ignore_errors=True)
        if not scratch.exists():
            break
        time.sleep(_SWEEP_S)
    if station.groups:
        end_group(Path(station.groups))


def _import_all(names: Sequence[str]) -> None:
    """Import and warm up, and leave one thread and a heap that no collection touches.

    Raises: RuntimeError: a library started threads or CUDA, which a fork would not have.
    """
    for name in names:
        with suppress(ImportError):  # the trial that imports it will say so
            import_module(name)
    for name in _PUT_OFF if "numpy" in sys.modules else ():
        import_module(name)
    if torch := sys.modules.get("torch"):
        _warm_up(torch)
        if torch.cuda.is_initialized():
            raise RuntimeError(f"{', '.join(names)} started CUDA, which does not survive a fork")
    n_threads = len(list(Path("/proc/self/task").iterdir()))
    if n_threads > 1:
        raise RuntimeError(f"{', '.join(names)} started {n_threads - 1} threads")
    gc.collect()
    gc.freeze()
    collapse_pages()


def _warm_up(torch: ModuleType) -> None:
    """Take one optimizer step, which imports what torch has put off, and leave the random state as it was.

    No backward: on a machine with a GPU it would start threads and the driver, and neither survives a fork.
    """
    torch.set_num_threads(1)
    import_module("torch._dynamo")
    state = torch.get_rng_state()
    layer = torch.nn.Linear(2, 2)
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.AdamW(layer.parameters()).step()
    torch.set_rng_state(state)


def _serve(channel: socket.socket, station: Station) -> bool:
    """Fork a supervisor for each order, until the controller closes the channel, or retires this launcher and its last run ends.

    Returns: whether the channel was closed.
    """
    supervisors: dict[int, int] = {}  # pidfd -> pid
    is_retired = False
    selector = selectors.DefaultSelector()
    selector.register(channel, selectors.EVENT_READ)
    while not is_retired or supervisors:
        for key, _ in selector.select():
            if key.fd in supervisors:
                selector.unregister(key.fd)
                os.close(key.fd)
                ended = supervisors.pop(key.fd)
                end_children(spared=frozenset(supervisors.values()))
                if station.groups:  # it is gone, but for a supervisor that was killed
                    end_group(Path(station.groups, group_name(station.number, ended)))
                continue
            message, descriptors = _receive(channel)
            if not message:
                return True
            if message == _RETIRE:
                is_retired = True
            else:
                supervisor = _fork(channel, message, descriptors, station)
                pidfd = os.pidfd_open(supervisor)
                supervisors[pidfd] = supervisor
                selector.register(pidfd, selectors.EVENT_READ)
    return False


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """Return the next message; an empty one when there is none any more."""
    with suppress(ConnectionResetError):  # the controller was killed before it read that we are ready
        message, descriptors, _, _ = socket.recv_fds(channel, _MAX_MESSAGE, _MAX_PASSED)
        return message, descriptors
    return b"", []


def _fork(channel: socket.socket, message: bytes, descriptors: Sequence[int], station: Station) -> int:
    """Fork a supervisor for an order."""
    door, *passed = descriptors
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(channel, parse_order(message.decode()), socket.socket(fileno=door), passed, station)
    for descriptor in descriptors:
        os.close(descriptor)
    return supervisor


def _supervise(
    channel: socket.socket, order: Order, door: socket.socket, passed: Sequence[int], station: Station
) -> NoReturn:
    exit_code = 1
    try:
        channel.close()  # or the controller would not see the launcher's end
        group = None
        if station.groups and station.is_grouped and order.access:
            name = group_name(station.number, os.getpid())
            group = Group(Path(station.groups), name, memory_bytes=order.bounds.memory_bytes)
        supervise(order, door, passed, fresh=not station.preload, enclosure=station.enclosure, group=group)
        exit_code = 0
    except BaseException:  # noqa: BLE001 - a fork never returns into its parent's code
        traceback.print_exc()
    finally:
        os._exit(exit_code)
