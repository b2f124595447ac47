"""What lies outside a trial and is worth having: secrets, files, a process, listeners; and a look at whether a trial got to any of it.

The look is the same whether the harness is whole or not, and it is at effects: what is in a file, whether a process lives, what
a listener heard. Nothing of what the harness says of itself counts.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import socket
import subprocess
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from safetensors.numpy import save_file

from bench.attacks.attack import Aim

if TYPE_CHECKING:
    from harness.values import Outcome

SECRET_VARIABLE = "API_KEY"
_MNT_DETACH = 2  # sys/mount.h
_HEARD_WITHIN_S = 0.2  # after the end of a run


class Bait:
    """Things for one attack; they are gone when the context ends."""

    def __init__(self, folder: Path) -> None:
        self.secret = os.environ[SECRET_VARIABLE]
        self.mark = f"m{os.urandom(6).hex()}"  # a process of the trial may take it as its name: at most 15 characters
        self._folder = folder
        self._context = ExitStack()
        self._heard: list[bytes] = []

    def __enter__(self) -> Self:
        home = self._folder / "home"
        for name in (".netrc", ".cache/huggingface/token", ".ssh/id_ed25519", "notes.txt", "data/a.txt"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(f"{self.secret}\n")
        (home / "site-packages").mkdir()
        save_file({"table": np.zeros((16, 16))}, home / "model.safetensors", {"secret": self.secret})
        self._home = home
        self._process = subprocess.Popen(["/bin/sleep", "600"], env={"TOKEN": self.secret})
        self._context.callback(self._end_process)
        self._context.callback(self._unmount)
        self._listen()
        self._files = self._look_at_files()
        self._limits = self._look_at_process()
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def place(self, path: str) -> str:
        """Return a path of an attack's source, which may name the folder of the user."""
        return path.replace("{HOME}", str(self._home))

    def module(self) -> str:
        """Return the source of `bait.py`, which tells an attack where everything is."""
        constants = {
            "HOME": str(self._home),
            "PID": self._process.pid,
            "MARK": self.mark,
            **self._addresses,
        }
        return "".join(f"{name} = {value!r}\n" for name, value in constants.items())

    def is_taken(self, aim: Aim, outcome: Outcome) -> bool:
        """Say whether an attack got what it was after."""
        match aim:
            case Aim.SECRET:
                return self.secret in outcome.log_tail
            case Aim.LABEL:
                return self.mark in outcome.isolation
            case Aim.CODE:
                return self.mark[::-1] in outcome.log_tail
            case Aim.TERMINAL:
                return "\x1b" in f"{outcome.log_tail}{outcome.detail}"
            case Aim.LINKS:
                return b"lo\0".hex() in outcome.log_tail
            case Aim.FILES:
                return self._look_at_files() != self._files
            case Aim.PROCESS:
                return self._look_at_process() != self._limits
            case Aim.NETWORK:
                self._is_over.wait(_HEARD_WITHIN_S)
                return bool(self._heard)
            case Aim.SURVIVAL:
                return bool(self._marked())
            case _:
                return False

    def _look_at_files(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for path in sorted(self._folder.rglob("*")):
            at = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (at.st_mode, at.st_uid, at.st_mtime_ns, at.st_nlink, content)
        return found

    def _look_at_process(self) -> tuple[object, ...]:
        pid = self._process.pid
        if self._process.poll() is not None:
            return ("ended",)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        limits = Path(f"/proc/{pid}/limits").read_text()
        return (
            state in "tT",
            limits,
            os.getpriority(os.PRIO_PROCESS, pid),
            os.sched_getaffinity(pid),
            os.sched_getscheduler(pid),
        )

    def _marked(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "comm").read_text().strip() == self.mark:
                    found.append(int(folder.name))
        return found

    def _unmount(self) -> None:
        ctypes.CDLL(None).umount2(str(self._home / "data").encode(), _MNT_DETACH)

    def _end_process(self) -> None:
        for pid in (*self._marked(), self._process.pid):  # what the trial left, and what we started
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._process.wait()

    def _listen(self) -> None:
        self._is_over = threading.Event()
        selector = selectors.DefaultSelector()
        path, abstract = str(self._folder / "door"), f"\0{self.mark}"
        where: dict[str, tuple[socket.AddressFamily, socket.SocketKind, object]] = {
            "TCP": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "UDP": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "DOOR": (socket.AF_UNIX, socket.SOCK_STREAM, path),
            "ABSTRACT": (socket.AF_UNIX, socket.SOCK_STREAM, abstract),
        }
        if Path("/proc/net/if_inet6").is_file() and Path("/proc/net/if_inet6").read_text():
            where["TCP6"] = (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
        self._addresses: dict[str, object] = {}
        for name, (family, kind, address) in where.items():
            listener = self._context.enter_context(socket.socket(family, kind))
            listener.bind(address)  # type: ignore[arg-type]  # it fits the family
            listener.setblocking(False)
            if kind is socket.SOCK_STREAM:
                listener.listen()
            selector.register(listener, selectors.EVENT_READ)
            self._addresses[name] = listener.getsockname()
        thread = threading.Thread(target=self._hear, args=(selector,), daemon=True)
        thread.start()
        self._context.callback(thread.join)
        self._context.callback(self._is_over.set)

    def _hear(self, selector: selectors.BaseSelector) -> None:
        while not self._is_over.is_set():
            for key, _ in selector.select(0.05):
                listener = key.fileobj
                assert isinstance(listener, socket.socket)
                with suppress(OSError):
                    if listener.type is socket.SOCK_DGRAM:
                        self._heard.append(listener.recv(64))
                    else:
                        listener.accept()[0].close()
                        self._heard.append(b"connected")
