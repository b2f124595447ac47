"""Protected statements: the budget, the seed, the metric and what they depend on, which no edit may touch.

Files that are frozen are not enough: in karpathy/autoresearch the clock that ends the training stands in the mutable file, and one
literal edit there buys unlimited training. So protected are
- tests of the budget: headers that call into a frozen file or read a name out of one, with the headers around them and all that
  computes what they read, in all files;
- what seeds a generator, with the same;
- statements that call into a frozen file, write into one or switch a model between training and evaluation: they load data, save,
  measure. What only a measurement reads is protected with it; what the training reads as well is not, or no batch size could be edited
  where the loader is frozen;
- prints of what any of these bind;
- what the manifest names on top.

Not covered: a budget that is told by a name which no frozen file knows. The supervisor counts the budget itself.
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


_MODES = frozenset({"torch.nn.Module.eval", "torch.nn.Module.train"})  # what a measurement relies on
_PRINTS = frozenset({"print", "write", "info", "log", "dump", "log_dict", "log_metrics"})


def protected_slots(graph: CodeGraph, declared: Iterable[str] = ()) -> frozenset[str]:
    """Return the slots of the protected nodes: statements, and units where there is no statement or the manifest names them.

    Raises: EditError: a declared slot names nothing.
    """
    slots = {_named(graph, slot).slot for slot in declared}
    tests, calls = list(_tests(graph)), list(_frozen_calls(graph))
    slots |= {node.slot for node in _slice(graph, tests)} | {node.slot for node in calls}
    measuring = [node for node in calls if not _feeds_training(graph, node)]
    for reader in measuring:
        slots |= {n.slot for n in _definitions(graph, reader) if all(r in slots for r in _readers(graph, n))}
    bound = [graph.nodes[slot] for slot in slots]
    slots |= {r for node in bound for r in _readers(graph, node) if graph.nodes[r].label in _PRINTS}
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


def _tests(graph: CodeGraph) -> Iterator[Node]:
    """Walk the headers that ask a frozen file, and what seeds."""
    for call in graph.of_kind(NodeKind.CALL):
        frozen = any(_is_frozen(graph, slot) for slot in graph.callees(call))
        statement = graph.statement(call) or graph.parent(call) or call
        if not graph.frozen(statement):
            seeds = any(slot.endswith(_SEEDING) for slot in graph.callees(call))
            if seeds or (frozen and (_is_header(graph, statement) or statement.kind is not NodeKind.STATEMENT)):
                yield statement
    for statement in graph.of_kind(NodeKind.STATEMENT):
        reads = graph.targets(statement.slot, EdgeKind.READS) if _is_header(graph, statement) else ()
        if not graph.frozen(statement) and any(_from_frozen(graph, slot) for slot in reads):
            yield statement


def _frozen_calls(graph: CodeGraph) -> Iterator[Node]:
    """Walk the statements that call into a frozen file or write into one."""
    for call in graph.of_kind(NodeKind.CALL):
        statement = graph.statement(call) or graph.parent(call) or call
        callees = graph.callees(call) if not graph.frozen(statement) else ()
        if any(_is_frozen(graph, slot) or slot in _MODES for slot in callees):
            yield statement
    for statement in graph.of_kind(NodeKind.STATEMENT):
        left = graph.text(statement).partition("=")[0].partition(".")
        bindings = graph.bindings(left[0].strip(), statement.scope) if left[1] and not graph.frozen(statement) else ()
        if any(_from_frozen(graph, b.slot) for b in bindings):
            yield statement


def _slice(graph: CodeGraph, guards: Iterable[Node]) -> Iterator[Node]:
    """Walk guards, the headers around them, and whatever computes what any of these read."""
    seen, pending = set[str](), list(guards)
    while pending:
        node = pending.pop()
        if node.slot not in seen and not graph.frozen(node):
            seen.add(node.slot)
            yield node
            pending += (*_around(graph, node), *_definitions(graph, node))


def _is_header(graph: CodeGraph, statement: Node) -> bool:
    return graph.text(statement).startswith(("if ", "elif ", "while ", "for ", "with "))


def _readers(graph: CodeGraph, statement: Node) -> Iterator[str]:
    """Walk the statements that read what a statement binds, wherever they stand."""
    for slot in graph.targets(statement.slot, EdgeKind.WRITES):
        yield from graph.sources(slot, EdgeKind.READS)


def _feeds_training(graph: CodeGraph, statement: Node) -> bool:
    """Whether what a statement binds is read, at any remove, by one that trains: it loads data and measures nothing."""
    seen, pending = set[str](), [statement.slot]
    while pending:
        for reader in _readers(graph, graph.nodes[pending.pop()]):
            if reader not in seen:
                seen.add(reader)
                pending.append(reader)
                if _trains(graph, graph.nodes[reader]):
                    return True
    return False


def _is_frozen(graph: CodeGraph, slot: str) -> bool:
    return bool(graph.nodes[slot].path) and graph.frozen(graph.nodes[slot])


def _from_frozen(graph: CodeGraph, slot: str) -> bool:
    """Whether a name was imported out of a frozen file, by itself or by a star."""
    return _is_frozen(graph, slot) or (
        graph.nodes[slot].kind is NodeKind.IMPORT
        and any(_is_frozen(graph, t) for t in graph.targets(slot, EdgeKind.IMPORTS))
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
