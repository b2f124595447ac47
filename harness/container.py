"""A container around a launcher, by docker or podman, whose image is pinned by its digest.

The engine starts one container per campaign, not per run. No descriptor can be inherited through an engine, so the launcher inside
connects to a socket in the scratch folder, which is mounted, and gets all others through that. The image must have a `python3` with
what the target imports; our own package is mounted read-only at the place where it lies here, the scratch folder and the training
data likewise. There is no network, the root is read-only, no capability is left, and memory and processes are limited as a whole.

Not here: accelerators, which every engine passes on in a way of its own.
Sources: docs.docker.com/reference/cli/docker/container/run, docs.podman.io/en/latest/markdown/podman-run.1.html.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.trial import PACKAGE_ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENGINES = ("docker", "podman")
_PINNED = re.compile(r"[a-z0-9][\w.\-/:]*@sha256:[0-9a-f]{64}")
_PROBE_S = 60.0  # a first start may unpack the image
_MAX_TASKS = 8192  # processes and threads of all runs together
_OF_THIS_MACHINE = ("PATH", "LD_LIBRARY_PATH")  # the image has its own
_OURS = ("harness", "graph", "mutator", "policy", "targets")


@dataclass(frozen=True, slots=True)
class Container:
    """What a launcher is started in."""

    image: str
    shown: Path  # training data
    engine: str = ""  # the first one that answers, if none is named
    memory_bytes: int = 0  # of all runs together; 0 for all that there is
    name: str = "container"
    inherits: bool = False  # descriptors

    def around(self, command: Sequence[str], scratch: Path, env: Mapping[str, str]) -> list[str]:
        """Return the command line that starts the command inside; its first word, our interpreter, becomes the image's."""
        engine = self.engine or why_no_engine()[1] or ENGINES[0]
        user = f"{os.getuid()}:{os.getgid()}"
        same_user = ["--userns=keep-id"] if engine == "podman" and os.getuid() != 0 else []
        memory = [f"--memory={self.memory_bytes}", f"--memory-swap={self.memory_bytes}"] if self.memory_bytes else []
        packages = [Path(PACKAGE_ROOT, name) for name in _OURS]
        return [
            *(engine, "run", "--rm", "--pull=never", "--network=none", "--read-only"),
            *("--cap-drop=ALL", "--security-opt=no-new-privileges", f"--pids-limit={_MAX_TASKS}", *memory),
            *("--tmpfs=/tmp", f"--user={user}", *same_user, "--workdir=/"),
            *(f"--env={name}={value}" for name, value in env.items() if name not in _OF_THIS_MACHINE),
            *(_mount(path, "readonly") for path in (*packages, self.shown)),
            _mount(scratch),
            *("--entrypoint=python3", self.image, *command[1:]),
        ]


def _mount(path: Path, *options: str) -> str:
    return "--mount=" + ",".join(("type=bind", f"source={path}", f"target={path}", *options))


def why_no_engine() -> tuple[str, str]:
    """Ask the engines. Returns: why there is none that answers, or else its name."""
    reasons = []
    for engine in ENGINES:
        if shutil.which(engine) is None:
            reasons.append(f"{engine} is not installed")
        elif said := _run([engine, "info"]):
            reasons.append(f"{engine} info: {said}")
        else:
            return "", engine
    return "; ".join(reasons), ""


def why_not(image: str) -> str:
    """Try an image: run `true` in it. Returns: why it does not work here; empty when it does."""
    if not _PINNED.fullmatch(image):
        return f"{image!r} is not pinned; name it as NAME@sha256:DIGEST, as {ENGINES[0]} images --digests prints it"
    no_engine, engine = why_no_engine()
    if no_engine:
        return no_engine
    probe = [engine, "run", "--rm", "--pull=never", "--network=none", "--read-only", "--entrypoint=true", image]
    return _run(probe)


def _run(command: Sequence[str]) -> str:
    """Return why a command failed, in a line; empty when it did not."""
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    said = tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"]
    return said[-1][:200] if tried.returncode else ""
