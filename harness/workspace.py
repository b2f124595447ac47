"""Working folders: one private copy of the sources per process, written from memory, and what is taken out of it.

A run's work copy stays writable, frozen files too: it is private, scoring never reads it, and so an attempt to change a
frozen file always leaves its trace in the copy, whether the code that tried survived or not.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SHARED_MEMORY = Path("/dev/shm")  # a file costs 17 us there
_ROOM_BYTES = 256 << 20  # free memory below which folders go to the disk


class Harvest(NamedTuple):
    """What became of a checkpoint: a file, or the reason why there is none."""

    path: Path
    fault: str = ""


class Workspace:
    """A folder with `work/` (the sources), `out/` (for the checkpoint) and `tmp/`, which is gone when the context ends."""

    def __init__(
        self,
        scratch: Path,
        files: Mapping[str, bytes],
        *,
        frozen: Iterable[str] = (),
        links: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """Write files into a fresh folder below scratch.

        links: what is found at a path relative to `work`, which may lead out of it, besides the files.

        Raises: OSError: there is no room.
        """
        self.folder = Path(tempfile.mkdtemp(dir=scratch))
        self.work, self.out, self.tmp = (self.folder / name for name in ("work", "out", "tmp"))
        for folder in (self.work, self.out, self.tmp):
            folder.mkdir()
        for path, data in files.items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_bytes(data)
        for name, source in links.items():
            _link(self.work / name, source)
        self._frozen = {path: (files[path], _identity(self.work / path)) for path in sorted(frozen)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def changed_frozen(self) -> tuple[str, ...]:
        """Name the frozen files that are not what was written: changed, replaced, linked, gone, or changed back."""
        return tuple(
            path for path, (data, identity) in self._frozen.items() if not self._is_intact(path, data, identity)
        )

    def harvest(self, name: str, *, max_bytes: int) -> Harvest:
        """Look at the checkpoint that a run left in out, once the run has ended.

        A link, a pipe or a file with a second name could be something else than what the run wrote.
        """
        path = self.out / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return Harvest(path, f"no checkpoint: the run wrote no {name}")
        except OSError as error:
            return Harvest(path, f"no checkpoint: {name} cannot be opened ({error.strerror})")
        found = os.fstat(descriptor)
        os.close(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return Harvest(path, f"no checkpoint: {name} is no plain file with one name")
        if not 0 < found.st_size <= max_bytes:
            return Harvest(path, f"no checkpoint: {name} has {found.st_size} bytes; between 1 and {max_bytes} are read")
        return Harvest(path)

    def _is_intact(self, path: str, data: bytes, identity: tuple[int, int]) -> bool:
        file = self.work / path
        try:
            # The bytes as well: a write through a memory map of tmpfs leaves no time stamp.
            return _identity(file) == identity and file.read_bytes() == data
        except OSError:
            return False


def _link(place: Path, source: Path) -> None:
    """Put a link to a file or folder at a place; in a folder that is there already, one to each of its parts that is not."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir() and source.is_dir():
        for part in source.iterdir():
            _link(place / part.name, part)
    elif not place.exists():
        place.symlink_to(source)


def stray_paths(paths: Iterable[str]) -> list[str]:
    """Name the paths that lead out of the folder that they are relative to."""
    return [path for path in sorted(paths) if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts]


def make_scratch() -> Path:
    """Make a private folder for the workspaces of a campaign, in memory where there is room, else on disk."""
    memory = _SHARED_MEMORY
    in_memory = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ROOM_BYTES
    return Path(tempfile.mkdtemp(prefix="codegraft-", dir=memory if in_memory else None))


def _identity(file: Path) -> tuple[int, int]:
    """Return what changes with every write and rename, and cannot be set: inode number and time of change."""
    found = file.lstat()
    return found.st_ino, found.st_ctime_ns
