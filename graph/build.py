"""Build the code graph of a snapshot; after an edit, from what the edit changed."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph, FileEdges
from graph.documents import is_document, read_document
from graph.relate import Relations, structure
from graph.resolve import Resolver
from graph.snapshot import Snapshot, read_sources
from graph.syntax import module_name
from graph.walk import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graph.syntax import FileSyntax


def build_graph(sources: Snapshot | Path | str, *, previous: CodeGraph | None = None) -> CodeGraph:
    """Parse every Python file of a snapshot, frozen ones included, or of a folder, into one graph.

    With `previous` only what differs is parsed and linked again; the result is the same.
    """
    with _without_collection():
        return _build(sources, previous)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Hold the cyclic collector back: hundreds of thousands of small values are made and none of them is a cycle that can go."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _build(sources: Snapshot | Path | str, previous: CodeGraph | None) -> CodeGraph:
    snapshot = sources if isinstance(sources, Snapshot) else read_sources(Path(sources))
    wanted = (item for item in sorted(snapshot.files.items()) if item[0].endswith(".py") or is_document(*item))
    files = {path: _read(path, data, previous, shadowed=_package_of(path) in snapshot.files) for path, data in wanted}
    resolver = previous.resolver if previous is not None else Resolver()
    if previous is not None:
        resolver.move_to({path: file.facts for path, file in previous.files.items()})
    cells, differing = resolver.move_to({path: file.facts for path, file in files.items()})
    moved = {*differing, *cells, *_changed_scopes(files, previous)}
    relations = Relations(resolver, files)
    known = previous.relations if previous is not None else {}
    edges = {}
    for path, file in files.items():
        old = known.get(path)
        if old is None or not old.consulted.isdisjoint(moved) or not _same_meaning(file, old.file):
            found, consulted = relations.of_file(file)
            fixed = old.fixed if old is not None and old.file is file else structure(file)
            old = FileEdges(file, fixed, found, consulted)
        edges[path] = old if old.file is file else replace(old, file=file)
    return CodeGraph(snapshot, files, edges, resolver)


def _changed_scopes(files: Mapping[str, FileSyntax], previous: CodeGraph | None) -> Iterator[str]:
    """Walk the scopes in which nodes come or go: an edge of another file may lead to one."""
    for path, old in previous.files.items() if previous is not None else ():
        new = files.get(path)
        if new is not old:
            known = new.by_slot if new is not None else {}
            for slot in known.keys() ^ old.by_slot.keys():
                yield (known.get(slot) or old.by_slot[slot]).scope


def _same_meaning(new: FileSyntax, old: FileSyntax) -> bool:
    """Whether two versions of a file differ in positions and in values alone, so that their edges are the same."""
    return new is old or (
        [*new.parents.items()] == [*old.parents.items()] and [*new.by_slot] == [*old.by_slot] and new.facts.same_edges(old.facts)
        and all(scope.binds_as(old.scopes.get(slot)) for slot, scope in new.scopes.items())
    )  # fmt: skip


def _package_of(path: str) -> str:
    """Return the file that is imported in the place of a module when both are there."""
    return f"{path.removesuffix('.py')}/__init__.py"


def _read(path: str, data: bytes, previous: CodeGraph | None, *, shadowed: bool) -> FileSyntax:
    known = previous.files.get(path) if previous is not None else None
    is_python = path.endswith(".py")
    module = path.replace("/", ".") if shadowed or not is_python else module_name(path)
    if is_python and known is not None and known.module != module:  # it was shadowed, or is now
        known = None
    if known is not None and known.data == data:
        return known
    return read_file(path, data, previous=known, module=module) if is_python else read_document(path, data)
