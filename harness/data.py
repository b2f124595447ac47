"""The data of a target, prepared once and kept in the user's cache under a name that says what made it.

A target's `prepare(folder)` writes folder/train, which the training reads, and folder/heldout, which the scorer reads; it may write
folder/second, which is measured before a keep, and folder/final, which is measured once for a report. The last three hold files of
the same names, so that one `score(predict, heldout)` reads any of them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import tempfile
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.orders import Bounds, Order, call
from harness.trial import call_entry
from harness.values import TrialError
from targets.manifest import Tier

if TYPE_CHECKING:
    from graph.snapshot import Snapshot
    from harness.launcher import Launcher
    from targets.manifest import Target

TRAIN, HELDOUT, SECOND, FINAL = "train", "heldout", "second", "final"
_SHARDS = (HELDOUT, SECOND, FINAL)
_KEY = "key"
_LAYOUT = 2  # of the folder; a higher one makes data of an older codegraft unused
_UNBOUNDED = Bounds(float("inf"), float("inf"), memory_bytes=1 << 62, output_bytes=1 << 62, threads=os.cpu_count() or 1)
_LOG_LINES = 20  # of a prepare that failed


class Data(NamedTuple):
    """The folders that a target's prepare wrote."""

    train: Path
    heldout: Path
    second: Path | None
    final: Path | None
    key: str  # what the choice of probes rests on: no trial can read it, so none knows what it will be asked


def prepare_data(target: Target, frozen: Snapshot, launcher: Launcher) -> Data:
    """Return the target's data; make them if no run before has.

    `prepare` is the author's own code and may download: it runs in a process of its own, in the target's folder, with the
    user's environment, without sandbox or limits. It ends with the controller.

    Raises: TrialError: prepare failed or wrote something else, with the end of what it printed; or a training would see held-out data.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codegraft" / "data"
    folder = cache / _name(target, frozen)
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache))
        try:
            _run_prepare(target, fresh, launcher)
            _refuse_overlap(target, fresh)
            (fresh / _KEY).write_text(secrets.token_hex(16))
            _publish(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    second, final = (folder / part if (folder / part).is_dir() else None for part in (SECOND, FINAL))
    return Data(folder / TRAIN, folder / HELDOUT, second, final, (folder / _KEY).read_text())


def _name(target: Target, frozen: Snapshot) -> str:
    """Name what the data follow from: all frozen files, which function of them, and Python, whose library a target may read.

    Of data that are only copied: their names, sizes and times of change.
    """
    copied = [(path.as_posix(), (s := path.stat()).st_size, s.st_mtime_ns) for path in _copied(target)]
    made_by = f"{_LAYOUT} {frozen.digest} {target.prepare}" if not copied else f"{_LAYOUT} {copied}"
    return f"{hashlib.blake2b(made_by.encode(), digest_size=16).hexdigest()}-{platform.python_version()}"


def _run_prepare(target: Target, folder: Path, launcher: Launcher) -> None:
    if target.prepare is None:  # of a self-reported target, whose training finds its data by itself
        (folder / TRAIN).mkdir()
        for path in _copied(target):
            place = folder / TRAIN / kept_as(path.relative_to(target.root_dir).as_posix())
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        return
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
        raise TrialError(f"{_prepared(target)} failed ({ending.detail}):\n{tail}")
    for part in (TRAIN,) if target.tier is Tier.SELF_REPORTED else (TRAIN, HELDOUT):
        if not (folder / part).is_dir():
            raise TrialError(f"{_prepared(target)} wrote no folder {part}; write one")


def _copied(target: Target) -> list[Path]:
    """List the files that the manifest names as data, those in the folders that it names included."""
    found = []
    for path in (target.root_dir / name for name in target.data):
        found += sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]
    return found


def kept_as(path: str) -> str:
    """Return where data of the manifest are kept below the folder `train`, by their path relative to the root."""
    return path.replace("..", "parent", 1) if path.startswith("../") else path


def _refuse_overlap(target: Target, folder: Path) -> None:
    """Compare the files of the parts by their bytes.

    Only whole files are compared: that no example is in two parts is the author's to see to.

    Raises: TrialError: a file of the training is held out as well, or two held-out parts are one and the same.
    """
    found = {part: _digests(folder / part) for part in (TRAIN, *_SHARDS)}
    for part in _SHARDS:
        for digest in found[TRAIN].keys() & found[part].keys():
            said = f"{TRAIN}/{found[TRAIN][digest]} and {part}/{found[part][digest]} with the same bytes"
            raise TrialError(f"{_prepared(target)} wrote {said}: nothing would be held out; split the data")
    for one, other in combinations(_SHARDS, 2):
        if found[one] and found[one].keys() == found[other].keys():
            raise TrialError(
                f"{_prepared(target)} wrote the same files as {one} and as {other}; split the data, or leave out {other}"
            )


def _digests(folder: Path) -> dict[bytes, str]:
    """Return digest -> path of the files that hold something."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                found[hashlib.file_digest(file, "blake2b").digest()] = path.relative_to(folder).as_posix()
    return found


def _prepared(target: Target) -> str:
    return f"{target.folder}: prepare is '{target.prepare}', which"


def _publish(fresh: Path, final: Path) -> None:
    try:
        fresh.rename(final)
    except OSError:
        if not final.is_dir():  # another campaign was faster, and its data are the same
            raise
