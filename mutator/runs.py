"""Closed runs of statements: neighbours in one block that a function could hold, with what goes into them and what comes out.

A run is closed when it leaves its block only at its end, binds nothing that an inner function holds on to, and when everything that it
takes is bound where it starts and everything that it gives is bound where it ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.model import EdgeKind, Node, NodeKind
from mutator.effects import names_of, parse_block, read_first, same_block, surely_bound, surely_written, text_with_block
from mutator.kind import Reason
from mutator.layout import line_end, line_start, whole_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from graph.code_graph import CodeGraph

_HIDDEN = ("expression", "pass")  # docstrings, placeholders
_LEAVING = ("return", "break", "continue", "raise", "import", "import_from")
_BLOCKS = (NodeKind.STATEMENT, NodeKind.FUNCTION, NodeKind.CLASS)


@dataclass(frozen=True, slots=True)
class Run:
    """Statements in order, the local names that they need, and those that others need of them."""

    statements: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def paragraphs(graph: CodeGraph, first: Node, longest: int) -> Iterator[tuple[Node, ...]]:
    """Walk the runs that start with a statement and end where a paragraph does, shortest first; none where no paragraph starts.

    A paragraph starts after a blank line or a comment line, or with its block, and ends before one or with its block.
    """
    block = same_block(graph, first)
    at = block.index(first) if first in block else -1
    if at < 0 or not (at == 0 or _apart(graph, block[at - 1], first)):
        return
    leaving = next((i for i, n in enumerate(block) if i >= at and n.label in _LEAVING), len(block))
    for end in range(at + 2, min(at + longest, leaving) + 1):
        whole = end - at == len(block)
        if not whole and (end == len(block) or _apart(graph, block[end - 1], block[end])):
            yield block[at:end]


def closed(graph: CodeGraph, statements: tuple[Node, ...]) -> Run | Reason:
    """Return what goes in and comes out of a run, or why it cannot stand alone."""
    function = graph.nodes[statements[0].scope]
    each = [names_of(graph, statement) for statement in statements]
    if any(n.leaves or n.odd or n.kept for n in each) or any(n.label in _HIDDEN for n in statements):
        return Reason.ORDER
    written = frozenset().union(*(n.writes for n in each))
    if written & _held(graph, function):
        return Reason.SHARED
    local = {name for name in written.union(*(n.reads for n in each)) if _is_local(graph, name, function)}
    inputs = [n for n in _exposed(graph, statements) if n in local]
    looped = any(n.label in ("for", "while") for n in graph.ancestors(statements[0]) if n.kind is NodeKind.STATEMENT)
    needed = _needed(graph, statements) | (written & frozenset(inputs) if looped else frozenset())
    outputs = sorted(needed, key=_first(graph, statements))
    surely = frozenset().union(*(surely_written(parse_block(text_with_block(graph, s))) for s in statements))
    inputs += [n for n in outputs if n not in surely and n not in inputs]
    if any(not surely_bound(graph, name, statements[0]) for name in inputs):
        return Reason.ORDER
    return Run(statements, tuple(inputs), tuple(outputs))


def _apart(graph: CodeGraph, before: Node, after: Node) -> bool:
    """Whether a blank line or a comment line stands between two statements."""
    data = graph.snapshot.files[before.path]
    return bool(data[line_end(data, whole_statement(graph, before).end_byte) : line_start(data, after.start)])


def _is_local(graph: CodeGraph, name: str, function: Node) -> bool:
    return any(b.scope == function.slot for b in graph.bindings(name, function.slot))


def _held(graph: CodeGraph, function: Node) -> frozenset[str]:
    """Return the names that lambdas and inner functions of a function hold on to."""
    text = graph.text(function)
    if "lambda" not in text and text.count("def ") + text.count("class ") < 2:  # its own is one
        return frozenset()
    inside = [graph.nodes[slot] for slot in graph.targets(function.slot, EdgeKind.CONTAINS)]
    return frozenset().union(*(names_of(graph, n).kept for n in inside if n.kind in _BLOCKS))


def _exposed(graph: CodeGraph, statements: tuple[Node, ...]) -> list[str]:
    """Return the names that a run reads before it has surely written them, in the order of reading."""
    body = [part for statement in statements for part in parse_block(text_with_block(graph, statement))]
    return read_first(body, set())


def _needed(graph: CodeGraph, statements: tuple[Node, ...]) -> frozenset[str]:
    """Return the names that a run writes and that are read after it, or before it in the next turn of a loop around."""
    inside = {n.slot: n for s in statements for n in _below(graph, s)}
    found: set[str] = set()
    for slot, node in inside.items():
        users = {u for u in graph.targets(slot, EdgeKind.DEF_USE) if u not in inside}
        if users:
            read = frozenset().union(*(_reads(graph, graph.nodes[u]) for u in users))
            found |= names_of(graph, node).writes & read
    return frozenset(found)


def _reads(graph: CodeGraph, user: Node) -> frozenset[str]:
    return names_of(graph, user).reads if user.kind is NodeKind.STATEMENT else frozenset({user.label})


def _below(graph: CodeGraph, statement: Node) -> Iterator[Node]:
    yield statement
    for slot in graph.targets(statement.slot, EdgeKind.CONTAINS):
        if graph.nodes[slot].kind is NodeKind.STATEMENT:
            yield from _below(graph, graph.nodes[slot])


def _first(graph: CodeGraph, statements: tuple[Node, ...]) -> Callable[[str], int]:
    """Return the order in which names appear in a run."""
    words = [w for s in statements for w in re.findall(r"\w+", text_with_block(graph, s))]
    return words.index
