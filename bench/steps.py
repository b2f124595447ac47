"""Run a few real, seeded training steps of an edited repository on the CPU, and say what they computed.

`python -m bench.steps REPO FOLDER` runs the recipe REPO (a module of bench.recipes) on the sources in FOLDER and prints a fingerprint: the
losses and a digest of all parameters after each step. Two programs with the same fingerprint trained alike; an edit that leaves it alone is
inert under this recipe, which says nothing about longer runs, other data or paths that the recipe does not take.

A run is a fork of a server that has imported torch, in a folder of its own, with one thread and limits on time and memory. That is
enough for known repositories and our own edits; it is no sandbox for hostile code.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CPU_S = 60
_WALL_S = 240.0  # the machine is shared: a run may wait for a core
_MEMORY_BYTES = 12 << 30  # of address space; torch alone takes some 5 GiB of it
_FILE_BYTES = 256 << 20
_SOURCES = (".py", ".toml", ".json", ".cfg")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    ok: bool
    fingerprint: str = ""  # what was computed; with "nan" where a loss was no number
    error: str = ""  # class, message and place of what ended it early
    cpu_s: float = 0.0


def recipe_name(root: Path) -> str | None:
    """Name the recipe for a folder: that of the same name, None when there is none."""
    name = root.name.lower().replace("-", "_")
    return name if find_spec(f"bench.recipes.{name}") else None


def covered(recipe: str, path: str) -> bool:
    """Whether a recipe runs a file, at least in part."""
    return any(path == each or path.startswith(f"{each}/") for each in import_module(f"bench.recipes.{recipe}").COVERS)


class Stepper:
    """A process that has imported torch and forks once per run. A context manager; one run at a time."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "bench.steps", "--serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parent.parent, env={**os.environ, **_ONE_THREAD},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        if self._server.stdin is not None:
            self._server.stdin.close()
        self._server.wait()

    def run(self, recipe: str, files: Mapping[str, bytes], root: Path) -> Outcome:
        """Run a recipe on the sources below root, with some files replaced or added."""
        if self._server.stdin is None or self._server.stdout is None:
            raise RuntimeError("the server has no pipes")
        changed = {path: data.decode("latin-1") for path, data in files.items()}
        request = json.dumps({"recipe": recipe, "files": changed, "root": str(Path(root).resolve())})
        self._server.stdin.write(request + "\n")
        self._server.stdin.flush()
        return Outcome(**json.loads(self._server.stdout.readline()))


@cache
def _stepper() -> Stepper:
    return Stepper()


def run_steps(recipe: str, files: Mapping[str, bytes], root: Path) -> Outcome:
    """Run a recipe on the sources below root with some files replaced, in one server that lives as long as this process."""
    return _stepper().run(recipe, files, root)


# --- the server

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TORCH_COMPILE_DISABLE": "1"}
_PRELOADED = ("numpy", "torch", "torch._dynamo", "torch.utils.data", "torch.distributed", "torch.nn.parallel")


def _serve(requests: IO[str], answers: IO[str]) -> None:
    for name in _PRELOADED:
        import_module(name)
    import_module("torch").set_num_threads(1)
    gc.freeze()  # so that no child walks, and thereby copies, what it shares with this process
    for line in requests:
        request = json.loads(line)
        answers.write(json.dumps(_run_one(request["recipe"], request["files"], Path(request["root"]))) + "\n")
        answers.flush()


def _run_one(recipe: str, files: Mapping[str, str], root: Path) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="steps-"))
    try:
        _lay_out(root, files, folder)
        return _fork(recipe, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(root: Path, files: Mapping[str, str], folder: Path) -> None:
    """Link the sources into a folder, and write those that changed."""
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if path.suffix in _SOURCES and path.is_file() and relative.as_posix() not in files:
            link = folder / relative
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode("latin-1"))


def _fork(recipe: str, folder: Path) -> dict[str, object]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os._exit(_run_child(recipe, folder, writer))
    os.close(writer)
    said = _read_until(reader, time.monotonic() + _WALL_S)
    os.close(reader)
    try:
        os.killpg(child, signal.SIGKILL)  # whatever it started; it has said all by now, or takes too long
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)  # not yet the leader of its group
    _, status, usage = os.wait4(child, 0)
    cpu_s = usage.ru_utime + usage.ru_stime
    if said:
        return {**json.loads(said), "cpu_s": cpu_s}
    died = os.waitstatus_to_exitcode(status)
    error = "Timeout: no end within the limits" if cpu_s > _CPU_S - 1 or died == -signal.SIGKILL else f"Died: {died}"
    return {"ok": False, "error": error, "cpu_s": cpu_s}


def _read_until(reader: int, deadline: float) -> bytes:
    said = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([reader], [], [], left)[0]:
        part = os.read(reader, 1 << 16)
        if not part:
            break
        said += part
    return said


def _run_child(recipe: str, folder: Path, writer: int) -> int:
    """Run a recipe in this process, which ends afterwards, and write what came of it."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = os.open(folder / "log.txt", os.O_CREAT | os.O_WRONLY)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    answer = import_module("bench.probe").drive(import_module(f"bench.recipes.{recipe}").drive, folder)
    os.write(writer, json.dumps(answer).encode())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one recipe on one folder and print what came of it; return 0 when it ran."""
    parser = ArgumentParser(description="Run a few real training steps of a repository on the CPU.")
    parser.add_argument("recipe", nargs="?", help="a module of bench.recipes")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--serve", action="store_true", help="answer requests on standard input; for Stepper")
    chosen = parser.parse_args(arguments)
    if chosen.serve:
        _serve(sys.stdin, os.fdopen(os.dup(1), "w"))
        return 0
    outcome = run_steps(chosen.recipe, {}, chosen.folder)
    _stepper().close()
    sys.stdout.write(f"{outcome.cpu_s:.2f} s CPU\n{outcome.fingerprint if outcome.ok else outcome.error}\n")
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())
