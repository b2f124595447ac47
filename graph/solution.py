"""What the edges of one file are read from: the values of cells, with a note of everything that was asked of other files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.model import NodeKind
from graph.values import Tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from graph.facts import CallSite
    from graph.resolve import Resolver
    from graph.syntax import FileSyntax
    from graph.values import Value

_HOLDING = (Tag.LIST, Tag.DICT, Tag.SEQUENTIAL, Tag.NAMESPACE)


class Solution:
    """The solution as one file sees it. `consulted` names the cells and declarations that its edges depend on."""

    def __init__(self, resolver: Resolver, file: FileSyntax, consulted: set[str]) -> None:
        self.resolver, self.tables, self.file, self.consulted = resolver, resolver.tables, file, consulted

    def values(self, cell: str) -> list[Value]:
        """Return what a cell holds, in an order that does not depend on the way to the solution."""
        if not cell:
            return []
        self.consulted.add(cell)
        return sorted(self.resolver.values(cell), key=_order)

    def contents(self, cell: str, holding: tuple[Tag, ...] = _HOLDING) -> Iterator[Value]:
        """Walk what a cell holds, and what the containers among it hold."""
        pending, seen = [cell], {cell}
        while pending:
            for held in self.values(pending.pop()):
                yield held
                for inner in _inside(held) if held.tag in holding else ():
                    if inner not in seen:
                        seen.add(inner)
                        pending.append(inner)

    def runs(self, site: str) -> list[Value]:
        """Return what a site runs."""
        return self.values(f"{site}()")

    def is_module(self, slot: str) -> bool:
        """Whether a class is a torch module."""
        self.consulted.update(self.tables.lineage(slot))
        return self.tables.is_module(slot)

    def enclosing(self, slot: str) -> Iterator[str]:
        """Walk the slots that enclose a node, from the nearest."""
        current = self.file.parents.get(slot, "")
        while current:
            yield current
            current = self.file.parents.get(current, "")

    def statement(self, slot: str) -> str:
        """Return the statement that a node stands in; itself where it stands in none."""
        nodes = self.file.by_slot
        return next((s for s in self.enclosing(slot) if nodes[s].kind is NodeKind.STATEMENT), slot)


def argument(site: CallSite, name: str, place: int) -> str:
    """Return the cell of an argument by name or place."""
    named = next((a.cell for a in site.arguments if a.name == name), None)
    if named is not None:
        return named
    positional = [a for a in site.arguments if not a.name]
    return positional[place].cell if place < len(positional) else ""


def _inside(held: Value) -> Iterable[str]:
    older = held.of[1] if isinstance(held.of, tuple) else ()
    return (f"{held.name}[]", *(f"{part.cell}[]" for part in older))


def _order(held: Value) -> tuple[str, str, str]:
    return held.name, held.tag, held.of if isinstance(held.of, str) else ""
