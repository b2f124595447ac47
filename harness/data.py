"""The data of a target, prepared once and kept in the user's cache under a name that says what made it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.orders import Bounds, Order, call
from harness.trial import call_entry
from harness.values import TrialError

if TYPE_CHECKING:
    from graph.snapshot import Snapshot
    from harness.launcher import Launcher
    from targets.manifest import Target

TRAIN, HELDOUT = "train", "heldout"
_UNBOUNDED = Bounds(float("inf"), float("inf"), memory_bytes=1 << 62, output_bytes=1 << 62, threads=os.cpu_count() or 1)
_LOG_LINES = 20  # of a prepare that failed


def prepare_data(target: Target, frozen: Snapshot, launcher: Launcher) -> Path:
    """Return the folder with the target's train/ and heldout/; make it if no run before has.

    `prepare` is the author's own code and may download: it runs in a process of its own, in the target's folder, with the
    user's environment, without sandbox or limits. It ends with the controller.

    Raises: TrialError: prepare failed or wrote something else; with the end of what it printed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codegraft" / "data"
    # The Python version as well: a target may take its data from the standard library.
    final = cache / f"{frozen.digest}-{platform.python_version()}"
    if final.is_dir():
        return final
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache))
    try:
        _run_prepare(target, fresh, launcher)
        _publish(fresh, final)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return final


def _run_prepare(target: Target, folder: Path, launcher: Launcher) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    order = Order(
        main=call(call_entry, str(target.prepare), str(folder)),
        folder=str(target.root_dir),
        env=env,
        bounds=_UNBOUNDED,
    )
    ending = launcher.start(order).wait()
    if not ending.ok:
        tail = "\n".join(ending.log.splitlines()[-_LOG_LINES:])
        raise TrialError(f"{target.folder}: prepare is '{target.prepare}', which failed ({ending.detail}):\n{tail}")
    for part in (TRAIN, HELDOUT):
        if not (folder / part).is_dir():
            raise TrialError(f"{target.folder}: prepare is '{target.prepare}', which wrote no folder {part}; write one")


def _publish(fresh: Path, final: Path) -> None:
    try:
        fresh.rename(final)
    except OSError:
        if not final.is_dir():  # another campaign was faster, and its data are the same
            raise
