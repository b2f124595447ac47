"""Namespaces around a launcher and all that is forked from it, by bubblewrap (`bwrap`), which needs no root.

Inside, the whole file system is read-only but for the scratch folder, held-out data are not there at all, other processes are
not there either, shared memory is empty, and there is no network, whatever Landlock and seccomp say: a second wall, and the first
one for what they cannot see. One `bwrap` stands around the launcher, so a run costs nothing more. Its process table ends with it,
and it ends with the controller.

Scoring and `prepare` are outside: they run no edited code, and `prepare` may download.
Source: man 1 bwrap.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.processes import NAMESPACES, namespaces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROBE_S = 10.0  # a mount of a dead network file system can hang
_DEVICES = ("nvidia*", "kfd", "dri")  # of accelerators, below /dev


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """What a launcher is started in."""

    data: Path | None = None  # a folder of which only `shown` stays
    shown: Path | None = None
    writable: tuple[Path, ...] = ()  # besides the scratch folder
    name: str = "bwrap"
    inherits: bool = True  # descriptors

    def around(self, command: Sequence[str], scratch: Path, env: Mapping[str, str]) -> list[str]:
        """Return the command line that starts the command inside, where it inherits the environment."""
        devices = [str(path) for pattern in _DEVICES for path in sorted(Path("/dev").glob(pattern))]
        hidden = []
        if self.data and self.shown:
            only = ["--ro-bind", str(self.shown), str(self.shown)]
            hidden = ["--tmpfs", str(self.data), *only, "--remount-ro", str(self.data)]
        return [
            *("bwrap", *(f"--unshare-{name}" for name in NAMESPACES), "--die-with-parent", "--cap-drop", "ALL"),
            *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
            *(word for path in devices for word in ("--dev-bind", path, path)),
            *(word for path in (scratch, *self.writable) for word in ("--bind", str(path), str(path))),
            *(*hidden, "--", *command),
        ]


def why_not() -> str:
    """Try it: start an interpreter in it and let that look around. Returns: why it does not work here; empty when it does."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed; install the package bubblewrap"
    look = (
        "from pathlib import Path\nfor name in " + repr(NAMESPACES) + ": print(Path('/proc/self/ns', name).readlink())"
    )
    with tempfile.TemporaryDirectory() as scratch:
        command = Bubblewrap().around([sys.executable, "-I", "-S", "-c", look], Path(scratch), {})
        try:
            tried = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{type(error).__name__}: {error}"
    if tried.returncode != 0:
        return (tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1][:200]
    shared = [
        name for name, own, ours in zip(NAMESPACES, tried.stdout.split(), namespaces(), strict=True) if own == ours
    ]
    return f"{', '.join(shared)} are not apart" if shared else ""
