"""The object store: every program version of a campaign as a commit of a bare git repository, written without git.

`git -C objects.git log --graph --all`, `git diff refs/trials/3 refs/trials/7` and every git interface show the lineage: the
parent of a commit is the program that its edit was made on. Blobs, trees and commits are loose objects (format: gitformat-loose
and "Git Objects" in Pro Git), written under a temporary name, synchronised and renamed: an object is there whole or not at all,
and a version's objects are on disk before its id is known. Author and time are constants and counters, so the same program
after the same history has the same id, also after an interruption. Nobody's own `.git` is touched.

`preciousObjects` makes git's own housekeeping leave the objects loose: there is no reader of packs here.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

OBJECTS_FOLDER = "objects.git"

_AUTHOR = "codegraft <codegraft@localhost>"
_LEVEL = 1  # zlib: objects are small and written once; measured 0.5 ms per version
_ID = re.compile(r"[0-9a-f]{40}")
_CONFIG = """\
[core]
	repositoryformatversion = 1
	bare = true
[extensions]
	preciousObjects = true
[gc]
	auto = 0
	packRefs = false
"""
_HEAD = b"ref: refs/heads/best\n"


class Inspected(NamedTuple):
    """An object of a program version, and what is wrong with it; nothing when it is whole."""

    name: str
    path: str  # of the file or folder; empty for the commit itself and its root
    fault: str


class ObjectStore:
    """The program versions of the campaign in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Name the store; the first commit makes it."""
        self.folder = folder
        self._git = folder / OBJECTS_FOLDER

    def commit(self, files: Mapping[str, bytes], parent: str | None, message: str, *, time_s: int = 0) -> str:
        """Write a program version and return its id, 40 hex digits; the same arguments give the same id.

        Units: time_s is a counter, such as the trial's number; git shows it as seconds since 1970.
        Raises: TrialError: a path cannot be stored, the parent is not here, or the disk refuses.
        """
        if parent is not None:
            self._read(parent, "commit")
        commit, objects = _add_version(files, parent, message, time_s)
        if not (self._git / "HEAD").exists():
            # Git wants a folder of references to exist, and skips names with a leading dot in it.
            _write_files({self._git / "config": _CONFIG.encode(), self._git / "refs" / ".keep": b""})
            _write_files({self._git / "HEAD": _HEAD})
        paths = {self._path(name): data for name, data in objects.items()}
        _write_files({path: zlib.compress(data, _LEVEL) for path, data in paths.items() if not path.exists()})
        return commit

    def mark_trial(self, number: int, commit: str) -> None:
        """Point refs/trials/<number> at a commit."""
        self._mark(f"refs/trials/{number}", commit)

    def mark_best(self, commit: str) -> None:
        """Point refs/heads/best, which git tools open first, at a commit."""
        self._mark("refs/heads/best", commit)

    def mark_shrunk(self, commit: str) -> None:
        """Point refs/heads/shrunk at the incumbent without the edits that it does not need."""
        self._mark("refs/heads/shrunk", commit)

    def shrunk(self) -> str | None:
        """Return the commit of the shrunk program; None where there is none."""
        return self.marks().get("heads/shrunk")

    def marks(self) -> dict[str, str]:
        """Return what each reference points at: trials/1, heads/best, heads/shrunk."""
        refs = self._git / "refs"
        paths = sorted(path for path in refs.glob("*/*") if not path.name.startswith("tmp_obj_"))
        return {path.relative_to(refs).as_posix(): path.read_bytes().decode("latin-1").strip() for path in paths}

    def inspect(self, commit: str, seen: dict[str, str]) -> Iterator[Inspected]:
        """Hash every object of a version again; those that were seen, id -> fault, are not read once more."""
        yield (found := self._look(commit, "commit", "", seen))
        if not found.fault:
            yield from self._inspect_tree(self._header(commit)["tree"], "", seen)

    def inspect_files(self) -> Iterator[str]:
        """Say which of the two files that make a git repository of it are not what was written."""
        for name, data in (("config", _CONFIG.encode()), ("HEAD", _HEAD)):
            path = self._git / name
            if not path.is_file() or path.read_bytes() != data:
                yield f"{path}: is not what was written; restore a copy of the campaign"

    def files(self, commit: str) -> dict[str, bytes]:
        """Read a program version: path -> bytes, sorted by path.

        Raises: TrialError: there is no such commit, or it is damaged.
        """
        return dict(sorted(self._read_tree(self._header(commit)["tree"], "")))

    def parent(self, commit: str) -> str | None:
        """Return the commit that a version was edited from; None for the first.

        Raises: TrialError: there is no such commit, or it is damaged.
        """
        return self._header(commit).get("parent")

    def first(self, commit: str) -> str:
        """Return the commit that has no parent and that a version goes back to: the unedited program.

        Raises: TrialError: there is no such commit, or one on the way is damaged.
        """
        while (parent := self.parent(commit)) is not None:
            commit = parent
        return commit

    def _mark(self, ref: str, commit: str) -> None:
        self._read(commit, "commit")
        _write_files({self._git / ref: f"{commit}\n".encode()})

    def _header(self, commit: str) -> dict[str, str]:
        head, _, _ = self._read(commit, "commit").decode("utf-8", "replace").partition("\n\n")
        return dict(line.split(" ", 1) for line in head.splitlines())

    def _read_tree(self, tree: str, folder: str) -> Iterator[tuple[str, bytes]]:
        for name, child, is_folder in _entries(self._read(tree, "tree")):
            if is_folder:
                yield from self._read_tree(child, f"{folder}{name}/")
            else:
                yield f"{folder}{name}", self._read(child, "blob")

    def _inspect_tree(self, tree: str, folder: str, seen: dict[str, str]) -> Iterator[Inspected]:
        yield (found := self._look(tree, "tree", folder, seen))
        for name, child, is_folder in () if found.fault else _entries(self._read(tree, "tree")):
            if is_folder:
                yield from self._inspect_tree(child, f"{folder}{name}/", seen)
            else:
                yield self._look(child, "blob", f"{folder}{name}", seen)

    def _look(self, name: str, kind: str, path: str, seen: dict[str, str]) -> Inspected:
        if name not in seen:
            try:
                self._read(name, kind)
                seen[name] = ""
            except TrialError:
                seen[name] = "is damaged" if self._path(name).exists() else "is missing"
        return Inspected(name, path, seen[name])

    def _read(self, name: str, kind: str) -> bytes:
        """Return an object's payload, checked against its name: a flipped bit is an error, never another program."""
        if _ID.fullmatch(name) is None:
            raise TrialError(f"{self._git}: {name!r} is no object id; give 40 hex digits")
        try:
            data = zlib.decompress(self._path(name).read_bytes())
        except (OSError, zlib.error) as error:
            raise TrialError(f"{self._git}: object {name} cannot be read; restore a copy of the campaign") from error
        header, _, payload = data.partition(b"\0")
        if _digest(data) != name or header.split(b" ")[0] != kind.encode():
            raise TrialError(f"{self._git}: object {name} is damaged or no {kind}; restore a copy of the campaign")
        return payload

    def _path(self, name: str) -> Path:
        return self._git / "objects" / name[:2] / name[2:]


def name_version(files: Mapping[str, bytes], parent: str | None, message: str, *, time_s: int = 0) -> str:
    """Return the id that `ObjectStore.commit` gives a version, without writing anything."""
    return _add_version(files, parent, message, time_s)[0]


def _add_version(
    files: Mapping[str, bytes], parent: str | None, message: str, time_s: int
) -> tuple[str, dict[str, bytes]]:
    """Return the id of a version, and id -> content of all its objects."""
    objects: dict[str, bytes] = {}
    lines = [f"tree {_add_tree(objects, files)}", *([f"parent {parent}"] if parent else [])]
    lines += [f"{role} {_AUTHOR} {time_s} +0000" for role in ("author", "committer")]
    text = "\n".join((*lines, "", message, "")).encode("utf-8", "backslashreplace")
    return _add(objects, "commit", text), objects


def _entries(tree: bytes) -> Iterator[tuple[str, str, bool]]:
    """Yield name, id, and whether it is a folder, of what a tree holds."""
    while tree:
        head, _, rest = tree.partition(b"\0")
        child, tree = rest[:20].hex(), rest[20:]
        mode, _, name = head.decode("utf-8", "surrogateescape").partition(" ")
        yield name, child, mode == "40000"


def _add(objects: dict[str, bytes], kind: str, payload: bytes) -> str:
    """Put an object, id -> content, among the objects and return its id."""
    data = f"{kind} {len(payload)}\0".encode() + payload
    name = _digest(data)
    objects[name] = data
    return name


def _add_tree(objects: dict[str, bytes], files: Mapping[str, bytes]) -> str:
    folders: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    entries: dict[str, tuple[str, str]] = {}
    for path, data in files.items():
        name, slash, rest = path.partition("/")
        if name in ("", ".", "..") or name.lower() == ".git" or "\0" in name:
            raise TrialError(f"{OBJECTS_FOLDER}: cannot store {path!r}; name a file below the root, not in .git")
        if slash:
            folders[name][rest] = data
        else:
            entries[name] = ("100644", _add(objects, "blob", data))
    if both := folders.keys() & entries:
        raise TrialError(f"{OBJECTS_FOLDER}: {min(both)!r} is a file and a folder; rename one of them")
    # Git sorts a folder as if its name ended in a slash.
    entries |= {f"{name}/": ("40000", _add_tree(objects, inner)) for name, inner in folders.items()}
    rows = sorted((name.encode("utf-8", "surrogateescape"), *entry) for name, entry in entries.items())
    return _add(objects, "tree", b"".join(_row(mode, name.removesuffix(b"/"), child) for name, mode, child in rows))


def _row(mode: str, name: bytes, child: str) -> bytes:
    return mode.encode() + b" " + name + b"\0" + bytes.fromhex(child)


def _digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _write_files(files: Mapping[Path, bytes]) -> None:
    """Write each file whole or not at all, on disk when this returns; together, since each synchronisation alone costs 4 ms.

    Raises: TrialError: the disk refuses.
    """
    drafts = {path: path.with_name(f"tmp_obj_{path.name}") for path in files}  # the prefix that git's prune clears away
    try:
        for path, draft in drafts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(files[path])
        for draft in drafts.values():
            _synchronise(draft)
        for path, draft in drafts.items():
            draft.replace(path)
        for folder in {above for path in files for above in (path.parent, path.parent.parent)}:
            _synchronise(folder)
    except OSError as error:
        where = error.filename or next(iter(files)).parent
        raise TrialError(f"{where}: cannot be written ({error.strerror}); check the disk") from error


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
