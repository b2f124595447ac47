"""Harnesses to attack: the whole one, and copies in which one guard is taken out."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.attacks.bait import SECRET_VARIABLE
from bench.attacks.stage import Happened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.attacks.attack import Guard

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("graph", "mutator", "policy", "targets", "harness", "bench")


def copy_without(guard: Guard | None, folder: Path) -> Path:
    """Copy our packages and take the guard out. Raises: ValueError: there is none to take out."""
    copy = folder / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    take_out(guard, copy)
    return copy


def take_out(guard: Guard | None, copy: Path) -> None:
    """Change a copy of our packages so that the guard is gone.

    Raises: ValueError: what it changes does not stand there exactly once, so there is no guard to take out.
    """
    for change in guard.changes if guard is not None else ():
        source = (copy / change.file).read_text()
        if source.count(change.old) != 1:
            said = f"{change.file}: has {change.old!r} {source.count(change.old)} times"
            raise ValueError(f"{said}; bring the guard {guard and guard.name!r} up to date")
        (copy / change.file).write_text(source.replace(change.old, change.new))


def attack(guard: Guard | None, numbers: Iterable[int], folder: Path) -> Iterator[Happened]:
    """Carry attacks out on a copy of the harness without the guard, in a fresh folder.

    Raises: RuntimeError: fewer were carried out than asked for.
    """
    folder.mkdir()
    copy = copy_without(guard, folder)
    asked = [str(number) for number in numbers]
    (folder / "cache").mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "XDG_CACHE_HOME": str(folder / "cache"),
        SECRET_VARIABLE: f"secret-{secrets.token_hex(8)}",
    }
    command = [sys.executable, "-m", "bench.attacks.stage", str(folder), *asked]
    ended = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines()
    yield from (Happened(**json.loads(line)) for line in lines)
    if len(lines) != len(asked):
        raise RuntimeError(
            f"{len(lines)} of {len(asked)} attacks were carried out without {guard}: {ended.stderr[-2000:]}"
        )
