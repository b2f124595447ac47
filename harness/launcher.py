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
import math
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from harness.meter import N_MARKS
from harness.orders import Answer, Ending, Order, parse_message, parse_order
from harness.pages import collapse_pages
from harness.processes import become_subreaper, end_children
from harness.supervisor import last_line, supervise
from harness.trial import PACKAGE_ROOT
from harness.values import Status, TrialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from harness.stopping import StoppingRule

_MAX_MESSAGE = 1 << 20  # bytes of an order
_MAX_PASSED = 8  # descriptors with one order
_READY = b"ready"
_PUT_OFF = ("numpy.ma", "numpy.random")  # what numpy imports when it is first used: 30 ms
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


class Launcher:
    """The controller's side: starts processes, from any thread."""

    def __init__(self, preload: Sequence[str], scratch: Path, env: Mapping[str, str]) -> None:
        """Start a launcher that imports preload, owns scratch and lives in env."""
        self._arguments = [str(scratch), *preload]
        self._env = dict(env)
        self._lock = threading.Lock()
        self._spawn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs and the launcher, and wait until all of it is gone."""
        self._channel.close()
        self._process.wait()
        self._complaints.close()

    def wait_until_ready(self) -> None:
        """Wait for the imports.

        Raises: TrialError: the launcher ended instead; with its last line.
        """
        if self._channel.recv(len(_READY)) != _READY:
            self._process.wait()
            self._complaints.seek(0)
            said = last_line(self._complaints.read().decode(errors="replace"))
            raise TrialError(f"launcher: ended while it imported the target's libraries ({said}); use launch='exec'")

    def start(self, order: Order, passed: Sequence[int] = ()) -> Run:
        """Start the order in a process of its own, which gets the passed descriptors as FIRST_FD and following.

        Raises: OSError: the launcher has been closed.
        """
        near, far = socket.socketpair()
        try:
            with far, self._lock:
                self._send(order.to_json().encode(), [far.fileno(), *passed])
        except BaseException:
            near.close()
            raise
        return Run(near)

    def _send(self, message: bytes, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._channel, [message], descriptors)
        except ConnectionError:  # the launcher was killed: its runs are lost, the next ones need not be
            self.close()
            self._spawn()
            self.wait_until_ready()
            socket.send_fds(self._channel, [message], descriptors)

    def _spawn(self) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the launcher
        self._channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-B", "-c", _BOOT, str(far.fileno()), *self._arguments],
                env=self._env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                pass_fds=(far.fileno(),),
                start_new_session=True,  # Ctrl-C is for the controller
            )


def main(arguments: Sequence[str]) -> None:
    """Be a launcher: channel descriptor, scratch folder, modules to import."""
    channel = socket.socket(fileno=int(arguments[0]))
    preload = arguments[2:]
    _import_all(preload)
    become_subreaper()
    channel.send(_READY)
    _serve(channel, fresh=not preload)
    end_children()
    shutil.rmtree(arguments[1], ignore_errors=True)


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


def _serve(channel: socket.socket, *, fresh: bool) -> None:
    """Fork a supervisor for each order until the controller closes the channel."""
    supervisors: dict[int, int] = {}  # pidfd -> pid
    selector = selectors.DefaultSelector()
    selector.register(channel, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fd in supervisors:
                selector.unregister(key.fd)
                os.close(key.fd)
                del supervisors[key.fd]
                end_children(spared=frozenset(supervisors.values()))
            elif supervisor := _accept(channel, fresh=fresh):
                pidfd = os.pidfd_open(supervisor)
                supervisors[pidfd] = supervisor
                selector.register(pidfd, selectors.EVENT_READ)
            else:
                return


def _accept(channel: socket.socket, *, fresh: bool) -> int | None:
    """Fork a supervisor for the next order; None when there is none any more."""
    message, descriptors = b"", list[int]()
    with suppress(ConnectionResetError):  # the controller was killed before it read that we are ready
        message, descriptors, _, _ = socket.recv_fds(channel, _MAX_MESSAGE, _MAX_PASSED)
    if not message:
        return None
    door, *passed = descriptors
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(channel, parse_order(message.decode()), socket.socket(fileno=door), passed, fresh=fresh)
    for descriptor in descriptors:
        os.close(descriptor)
    return supervisor


def _supervise(
    channel: socket.socket, order: Order, door: socket.socket, passed: Sequence[int], *, fresh: bool
) -> NoReturn:
    exit_code = 1
    try:
        channel.close()  # or the controller would not see the launcher's end
        supervise(order, door, passed, fresh=fresh)
        exit_code = 0
    except BaseException:  # noqa: BLE001 - a fork never returns into its parent's code
        traceback.print_exc()
    finally:
        os._exit(exit_code)
