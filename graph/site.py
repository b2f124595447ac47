"""Where a node stands: the function, class or top-level statement that is shown for it, and which statements are nearest to it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.model import NodeKind
from graph.names import is_text, loads
from graph.outline import DEFINITIONS, IMPORTS, Level, Source, blocks, own_names, read_source, statements
from graph.units import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.code_graph import CodeGraph
    from graph.model import Node


@dataclass(frozen=True, slots=True)
class Site:
    """Where the node stands: the statement that is shown (none for a whole module) and the innermost one around the node."""

    source: Source
    chain: tuple[ast.stmt, ...]  # from the outermost statement to the innermost
    shown: ast.stmt | None

    @property
    def body(self) -> tuple[ast.stmt, ...]:
        """The statements that are shown."""
        if self.shown is not None:
            return (self.shown,)
        return tuple(s for s in self.source.tree.body if not isinstance(s, (*DEFINITIONS, *IMPORTS)))

    @property
    def owner(self) -> ast.ClassDef | None:
        """The class around the node."""
        classes = [s for s in self.chain if isinstance(s, ast.ClassDef)]
        return classes[-1] if classes else None

    def inside(self, statement: ast.stmt | None) -> bool:
        """Whether a statement is what is shown, or stands in it."""
        while statement is not None and statement is not self.shown:
            statement = self.source.around[statement]
        return statement is not None

    def nearest(self) -> Iterator[tuple[ast.stmt, Level]]:
        """Walk the statements of the site that are kept when it does not fit as a whole, the nearest to the node first."""
        if isinstance(self.shown, ast.ClassDef):
            members = self.shown.body
            yield from ((s, Level.SIGNATURE if isinstance(s, FUNCTIONS) else Level.BODY) for s in members)
            yield from ((s, Level.BODY) for s in members if isinstance(s, FUNCTIONS))
            return
        body = self.shown.body if isinstance(self.shown, FUNCTIONS) else self.body
        leaves = [s for s in statements(body) if isinstance(s, DEFINITIONS) or not blocks(s)]
        focus = self.chain[-1] if self.chain and self.chain[-1] is not self.shown else None
        depth = {s: _depth(self.source, s) for s in leaves} if focus is None else self.distances(leaves, focus)
        for statement in sorted(leaves, key=lambda s: (is_text(s), depth[s], s.lineno)):
            yield statement, Level.BODY

    def distances(self, leaves: list[ast.stmt], focus: ast.stmt) -> dict[ast.stmt, float]:
        """Rank statements: the site, what its names come from step by step, then the others by their distance in lines."""
        bound = [(leaf, frozenset(own_names(leaf))) for leaf in leaves]
        found: dict[ast.stmt, float] = {focus: 0.0}
        pending = [focus]
        while pending:
            statement = pending.pop(0)
            for name in loads([statement]):
                before = [s for s, names in bound if s.lineno < statement.lineno and name in names]
                if before and before[-1] not in found:
                    found[before[-1]] = found[statement] + 1
                    pending.append(before[-1])
        last = max(found.values()) + 1
        return {s: found.get(s, last + abs(s.lineno - focus.lineno)) for s in leaves}


def site_of(graph: CodeGraph, node: Node) -> Site:
    """Return the site of a node that stands in a file that parses."""
    source = read_source(node.path, graph.files[node.path].data)
    if node.kind is NodeKind.MODULE:
        return Site(source, (), None)
    around = source.at(graph.line(node))
    if node.kind in (NodeKind.CLASS, NodeKind.FUNCTION):
        named = [i for i, s in enumerate(around) if isinstance(s, DEFINITIONS) and s.name == node.label]
        around = around[: named[-1] + 1] if named else around
    definitions = [s for s in around if isinstance(s, DEFINITIONS)]
    functions = [s for s in definitions if isinstance(s, FUNCTIONS)]
    last = definitions[-1] if definitions else None
    shown = last if node.kind is NodeKind.CLASS or not functions else functions[-1]
    return Site(source, around, shown if shown is not None else around[0] if around else None)


def statement_of(graph: CodeGraph, node: Node) -> tuple[Source, ast.stmt] | None:
    """Return the statement that a definition is or that binds it; nothing for what stands in no file that parses."""
    if node.path not in graph.files or graph.files[node.path].error:
        return None
    source = read_source(node.path, graph.files[node.path].data)
    around = source.at(graph.line(node))
    if node.kind in (NodeKind.CLASS, NodeKind.FUNCTION):
        around = tuple(s for s in around if isinstance(s, DEFINITIONS) and s.name == node.label)
    return (source, around[-1]) if around else None


def _depth(source: Source, statement: ast.stmt) -> float:
    around, depth = source.around[statement], 0
    while around is not None:
        around, depth = source.around[around], depth + 1
    return depth
