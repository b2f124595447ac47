"""The resolver: which values every cell of every file holds, kept exact from one snapshot to the next.

One resolver serves all graphs of a campaign. It stands at one set of files at a time and moves to another by the difference of
what they say, which costs what the edit changed and not what the repository holds. The solution at a set of files does not depend
on the way that led there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from graph.rules import Rules
from graph.solver import Solver
from graph.tables import Tables, says_the_same
from graph.values import (
    Copy,
    Dunder,
    Entry,
    GetMember,
    Handed,
    ImportModule,
    Key,
    Load,
    Store,
    Submodules,
    Tag,
    Update,
    Value,
    Weights,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from graph.facts import FileFacts
    from graph.values import Constraint, Watcher

Differences = Mapping[str, "frozenset[str] | None"]
ANY_MODULE = ""  # among the differences: there are other modules than before
_SPECIAL = frozenset(
    {"__init__", "__new__", "__post_init__", "__call__", "forward", "__iter__", "__next__", "__getitem__", "__setitem__", "__len__",
     "__enter__", "__exit__", "__aenter__", "__aexit__", "__aiter__", "__anext__", "__getattr__", "__init_subclass__"}
)  # fmt: skip
_ASK_ANY = (GetMember, Submodules, Copy, Update, Entry, Handed, Weights)
_SITED = (Tag.FUNCTION, Tag.METHOD, Tag.CLASS, Tag.INSTANCE, Tag.SUPER, Tag.MODULE)


class Resolver:
    """The solution at one set of files."""

    def __init__(self) -> None:
        self.files: Mapping[str, FileFacts] = {}
        self.tables = Tables({})
        self._solver = Solver(self._stated)
        self._parts: dict[str, tuple[Mapping[Constraint, None], ...]] = {}  # by module
        self._links: dict[str, dict[Constraint, None]] = {}

    def values(self, cell: str) -> Iterable[Value]:
        """Return what a cell may hold."""
        return self._solver.values(cell)

    def move_to(self, files: Mapping[str, FileFacts]) -> tuple[set[str], Collection[str]]:
        """Stand at other files. Return the cells whose values changed, and the declarations that differ."""
        before, old_files, old_links = self.tables, self.files, self._links
        changed = [p for p in files.keys() | old_files if files.get(p) is not old_files.get(p)]
        if not changed:
            return set(), ()
        pairs = [(files.get(p), old_files.get(p)) for p in changed]
        differing: Differences = {}
        if all(new is not None and old is not None and _same_interface(new, old, before) for new, old in pairs):
            self._links = {**old_links}
            self.tables.modules.update(
                (new.module, new) for new, _ in pairs if new is not None and new.module in self.tables.modules
            )
        else:
            self.tables = Tables(files)
            self._links = self._linked(
                files, changed if all(_same_public(*pair, before) for pair in pairs) else files.keys(), old_links
            )
            differing = self.tables.changed_since(before) if old_files else {}
            if self.tables.modules.keys() != before.modules.keys():
                differing = {**differing, ANY_MODULE: None}
        removed, added = _difference(old_files, files, old_links, self._links)
        doubted = self._doubted(differing, before)
        self.files = files
        self._parts = {facts.module: (*facts.parts, self._links[path]) for path, facts in files.items()}
        cells = self._solver.change(removed, doubted, added, before=Rules(before).act, after=Rules(self.tables).act)
        return cells, differing

    def _stated(self, cell: str, thing: Value | str | Watcher) -> bool:
        """Whether a file says a constraint itself: the one that owns the cell, or the one to which it leads."""
        key = (cell, thing)
        owners = {cell.partition(":")[0], thing.partition(":")[0] if isinstance(thing, str) else ""}
        return any(key in part for owner in owners for part in self._parts.get(owner, ()))

    def _linked(
        self, files: Mapping[str, FileFacts], paths: Collection[str], known: Mapping[str, dict[Constraint, None]]
    ) -> dict[str, dict[Constraint, None]]:
        """Link the files at some paths; the others get from other files what they got before."""
        again = {path: dict.fromkeys(self.tables.link(files[path])) for path in paths if path in files}
        links = {path: again.get(path, known.get(path, {})) for path in files}
        return {path: known[path] if known.get(path) == link else link for path, link in links.items()}

    def _doubted(self, differing: Differences, before: Tables) -> list[tuple[str, Value]]:
        """Return the facts whose consequences depend on declarations that differ."""
        outside = self.tables.outside ^ before.outside
        if not differing and not outside:
            return []
        moved = self.tables.modules.keys() != before.modules.keys()
        found = []
        for cell in self._solver.cells.values():
            if cell.watchers:
                by_key = _owners(cell.watchers, differing, moved=moved)
                for held in cell.values:
                    names = _consulted(held, differing)
                    attributes = outside if held.tag in (Tag.INSTANCE, Tag.CLASS, Tag.SUPER) else frozenset()
                    if names is None or by_key or any(_asks(watcher, names, attributes) for watcher in cell.watchers):
                        found.append((cell.name, held))
        return found


def _owners(watchers: Iterable[Watcher], differing: Differences, *, moved: bool) -> bool:
    """Whether what a key picks in a cell depends on declarations that differ."""
    return any(
        (isinstance(w, Key) and w.of.tag in _SITED and w.of.name in differing)
        or (moved and isinstance(w, ImportModule))
        for w in watchers
    )


def _asks(watcher: Watcher, names: frozenset[str], outside: frozenset[str]) -> bool:
    """Whether a watcher looks up one of some names, in the declarations of the value or among the attributes set from outside."""
    if isinstance(watcher, (Load, Store)):
        return watcher.attr in names or watcher.attr in outside or "__getattr__" in names
    if isinstance(watcher, Dunder):
        return watcher.name in names
    return bool(names) and (isinstance(watcher, _ASK_ANY) or not names.isdisjoint(_SPECIAL))


def _consulted(held: Value, differing: Differences) -> frozenset[str] | None:
    """Return the names that a value may be looked up by and that differ; None for all of them."""
    found: frozenset[str] = frozenset()
    for part in (held, held.of):
        if isinstance(part, Value) and part.tag in _SITED and part.name in differing:
            names = differing[part.name]
            if names is None:
                return None
            found |= names
    return found


def _same_public(new: FileFacts | None, old: FileFacts | None, before: Tables) -> bool:
    """Whether what other files get from a file is the same in two versions of it."""
    return (
        new is not None
        and old is not None
        and says_the_same(new, old)
        and not (new.called ^ old.called) & before.labels
    )


def _same_interface(new: FileFacts, old: FileFacts, before: Tables) -> bool:
    """Whether two versions of a file declare the same, and ask others for the same, so that only its constraints differ."""
    return (
        _same_public(new, old, before) and new.functions == old.functions and new.imports == old.imports
        and new.free == old.free and new.outside == old.outside
    )  # fmt: skip


def _difference(
    old: Mapping[str, FileFacts],
    new: Mapping[str, FileFacts],
    old_links: Mapping[str, Mapping[Constraint, None]],
    new_links: Mapping[str, Mapping[Constraint, None]],
) -> tuple[list[Constraint], list[Constraint]]:
    """Return the constraints to take away and to add."""
    removed: list[Constraint] = []
    added: list[Constraint] = []
    for path in sorted(old.keys() | new.keys()):
        before = [*(old[path].parts if path in old else ()), old_links.get(path, {})]
        after = [*(new[path].parts if path in new else ()), new_links.get(path, {})]
        same = {id(part) for part in before} & {id(part) for part in after}
        gone = [part for part in before if id(part) not in same]
        come = [part for part in after if id(part) not in same]
        if len(gone) == len(come) == 1:  # one unit, of which most stays
            removed += [c for c in gone[0] if c not in come[0]]
            added += [c for c in come[0] if c not in gone[0]]
            continue
        balance = Counter(c for part in come for c in part)
        balance.subtract(c for part in gone for c in part)
        for constraint, n in balance.items():
            (added if n > 0 else removed).extend([constraint] * abs(n))
    return removed, added
