"""Protected statements: the budget, the seed and what they depend on, which no edit may touch.

Files that are frozen are not enough: in karpathy/autoresearch the clock that ends the training stands in the mutable file, and one
literal edit there buys unlimited training. So every statement that calls into a frozen file or seeds a generator is protected, with the
statements of the same scope that define what its header reads, and what the manifest names on top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.edit import EditError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEEDING = ("manual_seed", "manual_seed_all", "random.seed", "use_deterministic_algorithms", "set_num_threads")


def protected_slots(graph: CodeGraph, declared: Iterable[str] = ()) -> frozenset[str]:
    """Return the slots of the protected nodes: statements, and whole units that the manifest names.

    Raises: EditError: a declared slot names nothing.
    """
    found = [_named(graph, slot) for slot in declared]
    pending = [
        statement
        for call in graph.of_kind(NodeKind.CALL)
        if _guards(graph, call) and (statement := graph.statement(call))
    ]
    slots = {node.slot for node in found}
    while pending:
        statement = pending.pop()
        if statement.slot not in slots:
            slots.add(statement.slot)
            pending += _definitions(graph, statement)
    return frozenset(slots)


def is_protected(graph: CodeGraph, node: Node, protected: frozenset[str]) -> bool:
    """Whether a node stands in a protected header or unit. The block below a protected `while` is free."""
    statement = graph.statement(node)
    enclosing = {statement.slot} if statement is not None else set()
    units = {
        node.slot,
        *(n.slot for n in graph.ancestors(node) if n.kind in (NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.MODULE)),
    }
    return bool(protected & (enclosing | units))


def _named(graph: CodeGraph, slot: str) -> Node:
    node = graph.nodes.get(slot)
    if node is None:
        raise EditError(
            f"protected: {slot} names nothing in the sources; write a slot as `codegraft graph --json` prints it"
        )
    return graph.statement(node) or node


def _guards(graph: CodeGraph, call: Node) -> bool:
    if graph.frozen(call):
        return False
    callees = [graph.nodes[slot] for slot in graph.callees(call)]
    return any(callee.slot.endswith(_SEEDING) or (callee.path and graph.frozen(callee)) for callee in callees)


def _definitions(graph: CodeGraph, statement: Node) -> Iterable[Node]:
    """Return the statements of the same scope that bind what a protected header reads, unless they build the model or the optimizer."""
    for slot in graph.targets(statement.slot, EdgeKind.READS):
        if graph.nodes[slot].kind is NodeKind.VARIABLE:
            for source in graph.sources(slot, EdgeKind.WRITES):
                writer = graph.nodes[source]
                if writer.kind is NodeKind.STATEMENT and writer.scope == statement.scope and not _trains(graph, writer):
                    yield writer


def _trains(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement calls a unit of the mutable sources: that is what the search is about."""
    calls = (graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.CONTAINS))
    inner = [callee for call in calls if call.kind is NodeKind.CALL for callee in graph.callees(call)]
    return any(graph.nodes[slot].path and not graph.frozen(graph.nodes[slot]) for slot in inner)
