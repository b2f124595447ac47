"""Snapshot: the sources of a target at one point of a search, as bytes.

Bytes are the truth and every tree is an index of them: an edit splices bytes and nothing is ever printed back from a tree,
so whatever an edit does not name stays as the author wrote it. A snapshot never changes; its parent pointer is the undo.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class GraphError(Exception):
    """Sources that cannot be read or a question that the graph cannot answer."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a target: path (posix, relative to the root) -> bytes."""

    files: Mapping[str, bytes]
    frozen: frozenset[str] = frozenset()
    parent: Snapshot | None = field(default=None, repr=False, compare=False)
    edit: str | None = None  # URI of the edit that made it from its parent
    promises: tuple[str, ...] = ()  # what the edits so far need later ones to keep, see mutator.promises

    @property
    def digest(self) -> str:
        """Name the content: equal files give equal digests, whatever the way that led there."""
        hasher = blake2b(digest_size=16)
        for path, data in sorted(self.files.items()):
            hasher.update(f"{path}\0{len(data)}\0".encode() + data)
        return hasher.hexdigest()

    @property
    def mutable(self) -> dict[str, bytes]:
        """The files that edits may change."""
        return {path: data for path, data in self.files.items() if path not in self.frozen}

    @property
    def script(self) -> tuple[str, ...]:
        """The URIs of the edits from the root snapshot to this one, oldest first."""
        edits: list[str] = []
        snapshot: Snapshot | None = self
        while snapshot is not None and snapshot.edit is not None:
            edits.append(snapshot.edit)
            snapshot = snapshot.parent
        return tuple(reversed(edits))

    def with_files(self, changed: Mapping[str, bytes], *, edit: str, promises: tuple[str, ...] = ()) -> Snapshot:
        """Return the child snapshot in which the changed paths hold new bytes."""
        return Snapshot({**self.files, **changed}, self.frozen, parent=self, edit=edit, promises=promises)


def read_snapshot(root: Path, paths: Iterable[str], *, frozen: Iterable[str] = ()) -> Snapshot:
    """Read the named files below root.

    Raises: GraphError: a path is no readable file.
    """
    frozen_paths = frozenset(frozen)
    files: dict[str, bytes] = {}
    for path in sorted({*paths, *frozen_paths}):
        try:
            files[path] = (root / path).read_bytes()
        except OSError as error:
            raise GraphError(f"{root / path}: cannot be read ({error.strerror}); name an existing file") from error
    return Snapshot(files, frozen_paths)


def python_files(root: Path) -> tuple[str, ...]:
    """List the Python files below root, hidden folders and virtual environments left out.

    Raises: GraphError: root is no folder or holds no Python file.
    """
    if not root.is_dir():
        raise GraphError(f"{root}: is no folder; name a target or a folder of Python files")
    skipped = {"__pycache__", "node_modules", "site-packages", "venv"}
    found = (path.relative_to(root) for path in root.rglob("*.py") if path.is_file())
    kept = tuple(
        sorted(p.as_posix() for p in found if not any(part in skipped or part.startswith(".") for part in p.parts))
    )
    if not kept:
        raise GraphError(f"{root}: holds no Python file; name a target or a folder of Python files")
    return kept


def read_sources(path: Path) -> Snapshot:
    """Read a folder of Python files, or a single one.

    Raises: GraphError: there is no such file or folder, or no Python file in it.
    """
    if path.is_file():
        return read_snapshot(path.parent, [path.name])
    return read_snapshot(path, python_files(path))
