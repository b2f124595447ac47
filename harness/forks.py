"""Inside a launcher: imports once, then forks a supervisor for each order, until the controller is gone or retires it.

It never runs target code. When the controller is gone it kills all that it started, deletes the scratch folder and ends.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import shutil
import socket
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from harness.cgroup import Group, end_group, group_name
from harness.orders import parse_order
from harness.pages import collapse_pages
from harness.processes import become_subreaper, end_children, namespaces
from harness.sandbox import common_paths
from harness.supervisor import supervise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from harness.orders import Order

READY, RETIRE = b"ready", b"retire"  # what launcher and controller say to each other besides orders
_MAX_MESSAGE = 1 << 20  # bytes of an order
_MAX_PASSED = 8  # descriptors with one order
_PUT_OFF = ("numpy.ma", "numpy.random")  # what numpy imports when it is first used: 30 ms
_N_SWEEPS, _SWEEP_S = 20, 0.05  # of the scratch folder


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


def main(arguments: Sequence[str]) -> None:
    """Be a launcher: channel (a descriptor, or the path of a socket), and the station as JSON."""
    channel = _connect(arguments[0])
    station = Station(**json.loads(arguments[1]))
    if station.enclosure and (shared := set(station.outside) & set(namespaces())):
        raise RuntimeError(f"{station.enclosure} left it in {', '.join(sorted(shared))}")
    _import_all(station.preload)
    become_subreaper()
    channel.send(READY)
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
    common_paths()
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
            if message == RETIRE:
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
