"""Protected statements: the budget, the seed and what they depend on, which no edit may touch.

Files that are frozen are not enough: in karpathy/autoresearch the clock that ends the training stands in the mutable file, and one
literal edit there buys unlimited training. So a statement is protected when it calls into a frozen file, tests a name that was imported
from one, writes into one or seeds a generator; with the headers around it and the statements that define what it reads, in all files; and
what the manifest names on top.

Not covered: guards behind `partial`, a lambda or a star import from a frozen file. The supervisor counts the budget itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.edit import EditError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SEEDING = (
    "manual_seed", "manual_seed_all", "random.seed", "default_rng", "RandomState", "random.Random", "set_seed", "seed_everything",
    "PRNGKey", "random.key", "use_deterministic_algorithms", "set_num_threads",
)  # fmt: skip


def protected_slots(graph: CodeGraph, declared: Iterable[str] = ()) -> frozenset[str]:
    """Return the slots of the protected nodes: statements, and units where there is no statement or the manifest names them.

    Raises: EditError: a declared slot names nothing.
    """
    slots = {_named(graph, slot).slot for slot in declared}
    pending = [node for node in _guards(graph) if not graph.frozen(node)]
    while pending:
        node = pending.pop()
        if node.slot not in slots:
            slots.add(node.slot)
            pending += (n for n in (*_around(graph, node), *_definitions(graph, node)) if not graph.frozen(n))
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


def _guards(graph: CodeGraph) -> Iterator[Node]:
    """Walk what holds the budget and the seed: calls into frozen files, seeding, writes into frozen modules, tests on frozen names."""
    for call in graph.of_kind(NodeKind.CALL):
        if any(slot.endswith(_SEEDING) or _is_frozen(graph, slot) for slot in graph.callees(call)):
            yield graph.statement(call) or graph.parent(call) or call
    for statement in graph.of_kind(NodeKind.STATEMENT):
        if _tests(graph, statement) and any(
            _from_frozen(graph, slot) for slot in graph.targets(statement.slot, EdgeKind.READS)
        ):
            yield statement
        left = graph.text(statement).partition("=")[0].partition(".")
        if left[1] and any(_from_frozen(graph, b.slot) for b in graph.bindings(left[0].strip(), statement.scope)):
            yield statement


def _tests(graph: CodeGraph, statement: Node) -> bool:
    return graph.text(statement).startswith(("if ", "while ", "for ", "assert ", "with "))


def _is_frozen(graph: CodeGraph, slot: str) -> bool:
    return bool(graph.nodes[slot].path) and graph.frozen(graph.nodes[slot])


def _from_frozen(graph: CodeGraph, slot: str) -> bool:
    """Whether a name was imported out of a frozen file."""
    return graph.nodes[slot].kind is NodeKind.IMPORT and any(
        _is_frozen(graph, t) for t in graph.targets(slot, EdgeKind.IMPORTS)
    )


def _around(graph: CodeGraph, guard: Node) -> Iterator[Node]:
    """Walk the headers that decide whether a guard is reached; not out of its unit."""
    for outer in graph.ancestors(guard):
        if outer.kind is not NodeKind.STATEMENT:
            return
        yield outer


def _definitions(graph: CodeGraph, guard: Node) -> Iterator[Node]:
    """Walk the statements that bind what a guard reads, wherever they stand, unless they call what the search is about."""
    for slot in graph.targets(guard.slot, EdgeKind.READS):
        if graph.nodes[slot].kind in (NodeKind.VARIABLE, NodeKind.ATTRIBUTE):
            for source in graph.sources(slot, EdgeKind.WRITES):
                writer = graph.nodes[source]
                if writer.kind is NodeKind.STATEMENT and not _trains(graph, writer):
                    yield writer


def _trains(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement calls a unit of the mutable sources, or computes with torch: a model, an optimizer, a loss."""
    calls = (graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.CONTAINS))
    inner = [callee for call in calls if call.kind is NodeKind.CALL for callee in graph.callees(call)]
    return any(
        slot.startswith("torch.") or (graph.nodes[slot].path and not graph.frozen(graph.nodes[slot])) for slot in inner
    )
