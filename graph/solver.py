"""The solver: the least set of values per cell that satisfies all constraints, kept up to date when constraints come and go.

Values only ever flow forward and what a watcher does depends on nothing but the value and the declarations, so the least solution
is unique: it does not matter in which order constraints are added. Taking constraints away follows Gupta, Mumick and Subrahmanian
(SIGMOD 1993): first everything that might have depended on them is deleted, then what still has a reason is put back. What a
watcher did is never stored; it is found again by asking the watcher once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from graph.values import Constraint, Watcher

    Emit = Callable[[str, "Value | str | Watcher"], None]
    Act = Callable[[Watcher, Value, Emit], None]


class Cell:
    """A place that holds values."""

    __slots__ = ("flows", "name", "pending", "sources", "values", "watchers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[Value, int] = {}  # value -> constraints that put it here; 0 when it only flowed here
        self.flows: dict[Cell, int] = {}
        self.sources: dict[Cell, None] = {}
        self.watchers: dict[Watcher, int] = {}
        self.pending: list[Value] = []  # arrived or deleted, and not passed on yet


class Solver:
    """Cells, constraints with their counts, and the two phases of a change."""

    def __init__(self, stated: Callable[[str, Value | str | Watcher], bool]) -> None:
        self.cells: dict[str, Cell] = {}
        self._stated = stated  # whether the sources say a constraint, as they are after the change
        self._queue: list[Cell] = []
        self._fresh: list[tuple[Watcher, list[Value]]] = []  # watchers that came or went, and what they have to act on
        self._deleted: dict[tuple[Cell, Value], int] = {}
        self._parked: dict[tuple[Cell, Watcher], int] = {}  # watchers taken out, with the supports that they still have
        self._arrived: list[tuple[Cell, Value]] = []
        self._act: Act = _nothing

    def values(self, cell: str) -> Iterable[Value]:
        """Return the values of a cell."""
        found = self.cells.get(cell)
        return found.values if found is not None else ()

    def change(
        self,
        removed: Iterable[Constraint],
        doubted: Iterable[tuple[str, Value]],
        added: Iterable[Constraint],
        *,
        before: Act,
        after: Act,
    ) -> set[str]:
        """Take constraints away and add others; doubted facts are derived anew. Return the names of the cells that changed.

        `before` says what watchers did until now, `after` what they do from now on.
        """
        self._deleted, self._parked, self._arrived = {}, {}, []
        self._act = before
        for cell_name, thing in removed:
            self._remove(cell_name, thing)
        for cell_name, held in doubted:
            self._suspect(self.cells[cell_name], held)
        self._spread_deletion()
        self._act = after
        self._restore()
        for cell_name, thing in added:
            self._add(cell_name, thing)
        self._spread()
        return self._changed()

    # --- adding -------------------------------------------------------------------------------------------------------------------

    def _cell(self, name: str) -> Cell:
        found = self.cells.get(name)
        if found is None:
            found = self.cells[name] = Cell(name)
        return found

    def _add(self, cell_name: str, thing: Value | str | Watcher) -> None:
        cell = self.cells.get(cell_name) or self._cell(cell_name)
        if isinstance(thing, Value):
            known = cell.values.get(thing)
            if known is None:
                self._arrive(cell, thing, 1)
            else:
                cell.values[thing] = known + 1
        elif isinstance(thing, str):
            target = self._cell(thing)
            known = cell.flows.get(target, 0)
            cell.flows[target] = known + 1
            if not known:
                target.sources[cell] = None
                for held in cell.values:
                    if held not in target.values and not held.stays:
                        self._arrive(target, held, 0)
        else:
            known = cell.watchers.get(thing, 0)
            cell.watchers[thing] = known + 1
            if not known and cell.values:
                waiting = cell.pending  # the watcher acts on them when they are passed on
                self._fresh.append((thing, [v for v in cell.values if v not in waiting] if waiting else [*cell.values]))

    def _arrive(self, cell: Cell, held: Value, count: int) -> None:
        cell.values[held] = count
        self._arrived.append((cell, held))
        if not cell.pending:
            self._queue.append(cell)
        cell.pending.append(held)

    def _spread(self) -> None:
        queue, act, add = self._queue, self._act, self._add
        while queue or self._fresh:
            while self._fresh:
                watcher, values = self._fresh.pop()
                for held in values:
                    act(watcher, held, add)
            if not queue:
                break
            cell = queue.pop()
            fresh, cell.pending = cell.pending, []
            for target in cell.flows:
                known = target.values
                for held in fresh:
                    if held not in known and not held.stays:
                        self._arrive(target, held, 0)
            for watcher in list(cell.watchers):
                for held in fresh:
                    act(watcher, held, add)

    # --- taking away --------------------------------------------------------------------------------------------------------------

    def _remove(self, cell_name: str, thing: Value | str | Watcher) -> None:
        """Take one support of a constraint away.

        Where the sources still say it, it stands. What else is left of it may rest on itself, so all that it gave is in doubt.
        """
        cell = self.cells[cell_name]
        if isinstance(thing, Value):
            self._remove_value(cell, thing)
        elif isinstance(thing, str):
            self._remove_flow(cell, thing)
        else:
            self._remove_watcher(cell, thing)

    def _remove_value(self, cell: Cell, held: Value) -> None:
        if held not in cell.values:
            self._deleted[cell, held] -= 1
            return
        cell.values[held] -= 1
        if not (cell.values[held] and self._stated(cell.name, held)):
            self._suspect(cell, held)

    def _remove_flow(self, cell: Cell, into: str) -> None:
        target = self.cells[into]
        cell.flows[target] -= 1
        if cell.flows[target] and self._stated(cell.name, into):
            return
        if not cell.flows[target]:
            del cell.flows[target], target.sources[cell]
        for held in (*cell.values, *cell.pending):
            if not held.stays:
                self._suspect(target, held)

    def _remove_watcher(self, cell: Cell, watcher: Watcher) -> None:
        if watcher not in cell.watchers:
            self._parked[cell, watcher] -= 1
            return
        cell.watchers[watcher] -= 1
        if not (cell.watchers[watcher] and self._stated(cell.name, watcher)):
            self._parked[cell, watcher] = cell.watchers.pop(watcher)
            self._fresh.append((watcher, [*cell.values, *cell.pending]))

    def _suspect(self, cell: Cell, held: Value) -> None:
        if held not in cell.values:
            return
        self._deleted[cell, held] = cell.values.pop(held)
        if not cell.pending:
            self._queue.append(cell)
        cell.pending.append(held)

    def _spread_deletion(self) -> None:
        while self._queue or self._fresh:
            while self._fresh:
                watcher, values = self._fresh.pop()
                for held in values:
                    self._act(watcher, held, self._remove)
            if not self._queue:
                break
            cell = self._queue.pop()
            gone, cell.pending = cell.pending, []
            for target in list(cell.flows):
                for held in gone:
                    if not held.stays:
                        self._suspect(target, held)
            for watcher in list(cell.watchers):
                for held in gone:
                    self._act(watcher, held, self._remove)

    def _restore(self) -> None:
        """Put back what was deleted and still has a reason."""
        for (cell, held), count in self._deleted.items():
            if held in cell.values:
                cell.values[held] += count
            elif count or (not held.stays and any(held in source.values for source in cell.sources)):
                self._arrive(cell, held, count)
        for (cell, watcher), count in self._parked.items():
            if count:
                cell.watchers[watcher] = count
                self._fresh.append((watcher, [held for held in cell.values if held not in cell.pending]))

    def _changed(self) -> set[str]:
        gone = {cell.name for (cell, held) in self._deleted if held not in cell.values}
        return gone | {cell.name for cell, held in self._arrived if (cell, held) not in self._deleted}


def _nothing(_watcher: Watcher, _held: Value, _emit: Emit) -> None:
    """Do nothing: no rules are known yet."""
