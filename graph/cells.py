"""Cells: how constraints on the values of a file are said, and which cells the read of a name sees."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.facts import NameUse, UnitFacts
from graph.frames import Frame, bound_names
from graph.places import Places
from graph.values import Tag, Value, Watcher, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from graph.model import Node


class Cells(Places):
    """Says what cells hold and reads names, in the scope and for the statement that is read."""

    def __init__(self, module: str, data: bytes, nodes: Iterable[Node]) -> None:
        super().__init__(data, nodes)
        self.module = module
        self.frame = Frame(module, "module", None, *bound_names(()))
        self.statement = module  # slot of the statement that is read
        self.out = UnitFacts()
        self.temporary: dict[str, int] = {}
        self.counting: set[str] = set()  # definitions that loops and unpacking make

    # --- emitting -----------------------------------------------------------------------------------------------------------------

    def hold(self, cell: str, held: Value) -> str:
        """Say that a cell holds a value."""
        self.out.constraints[cell, held] = None
        return cell

    def flow(self, source: str, into: str) -> None:
        """Say that the values of a cell flow to another."""
        if source and source != into:
            self.out.constraints[source, into] = None

    def watch(self, cell: str, watcher: Watcher) -> None:
        """Say what happens to every value that arrives in a cell."""
        if cell:
            self.out.constraints[cell, watcher] = None

    def fresh(self, kind: str = "") -> str:
        """Name a cell of the statement that is read."""
        key = f"{self.statement}~{kind}"
        number = self.temporary[key] = self.temporary.get(key, -1) + 1
        return f"{key}{number}"

    def join(self, cells: Iterable[str]) -> str:
        """Return one cell for the values of several."""
        found = list(dict.fromkeys(cell for cell in cells if cell))
        if len(found) <= 1:
            return found[0] if found else ""
        into = self.fresh()
        for cell in found:
            self.flow(cell, into)
        return into

    def originate(self, cell: str, slot: str) -> None:
        """Say that a cell holds what a variable's node states, where the variable has one."""
        if slot in self.variables:
            self.hold(cell, value(Tag.ORIGIN, slot))

    # --- names --------------------------------------------------------------------------------------------------------------------

    def name(self, node: ast.Name) -> str:
        """Read a name: the definitions that reach it."""
        cells = self.name_cells(node.id)
        return cells[0] if len(cells) == 1 else self._merged_name(node.id, cells)

    def name_cells(self, name: str) -> tuple[str, ...]:
        """Return the cells that a read of a name sees, and note the read."""
        frame: Frame | None = self.frame
        if name in self.frame.overlay:
            return (self.frame.overlay[name],)
        while frame is not None:
            direct = frame is self.frame
            inline = direct or (self.frame.kind == "class" and self._inline(frame))
            if frame.kind == "module" and not inline and not self._in_lambda(frame):
                break  # a function reads it when the module has run, whatever binds it there
            if frame.owns(name) and (direct or frame.kind != "class"):
                cells = frame.reaching(name) if inline else (frame.merged(name),)
                reached = frame.reaching(name) if inline or self._in_lambda(frame) else ()
                self.out.uses.append(NameUse(self.statement, frame.slot, name, writes=False, definitions=reached))
                return cells
            if direct and frame.elsewhere.get(name) == "global":
                break
            frame = frame.parent
        self.out.free.add(name)
        self.out.uses.append(NameUse(self.statement, self.module, name, writes=False))
        return (f"{self.module}:>{name}",)

    def _in_lambda(self, frame: Frame) -> bool:
        """Whether only lambdas stand between the scope that is read and this one: their uses count where they stand."""
        current = self.frame
        while current is not frame and "/" in current.slot and current.parent is not None:
            current = current.parent
        return current is frame

    def _inline(self, frame: Frame) -> bool:
        """Whether only class bodies stand between the scope that is read and this one, so that both run in one go."""
        current = self.frame
        while current is not frame and current.kind == "class" and current.parent is not None:
            current = current.parent
        return current is frame

    def _merged_name(self, name: str, cells: Sequence[str]) -> str:
        into = f"{cells[0]}|" + "|".join(cell.rpartition(">")[2].removeprefix(name) for cell in cells[1:])
        for cell in cells:
            self.flow(cell, into)
        return into

    def counts(self, node: ast.expr) -> bool:
        """Whether a subscript is no constant that values could tell: a loop variable, a computed index."""
        if not isinstance(node, ast.Name):
            return True
        cells = self.frame.reaching(node.id) if self.frame.owns(node.id) else ()
        return node.id in self.frame.overlay or any(cell in self.counting for cell in cells)
