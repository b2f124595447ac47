"""Protected statements: the budget, the seed, the metric and what they depend on, which no edit may touch.

Files that are frozen are not enough: in karpathy/autoresearch the clock that ends the training stands in the mutable file, and one
literal edit there buys unlimited training. So protected are
- tests of the budget: headers that call into a frozen file or read a name out of one, and tests that leave a loop or function by a clock or
  by what a frozen file says, however many names are between; with the headers around them and all that computes what they read, in all
  files, through parameters and attributes;
- what seeds a generator, with the same;
- heirs of frozen classes, and functions that a measurement is handed to;
- statements that call into a frozen file, write into one or switch a model between training and evaluation: they load data, save,
  measure. What only a measurement reads is protected with it; what the training reads as well is not, or no batch size could be edited
  where the loader is frozen;
- prints of what any of these bind;
- what the manifest names on top.

Not covered: a budget that neither a clock nor a frozen file tells. The supervisor counts the budget itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind, Rule
from mutator.edit import EditError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SEEDING = (
    "manual_seed", "manual_seed_all", "random.seed", "default_rng", "RandomState", "random.Random", "set_seed", "seed_everything",
    "PRNGKey", "random.key", "use_deterministic_algorithms", "set_num_threads",
)  # fmt: skip


_CLOCKS = frozenset(
    f"time.{name}{unit}" for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time") for unit in ("", "_ns")
) | {"datetime.datetime.now", "timeit.default_timer"}  # fmt: skip
_LEAVES = frozenset({"break", "return", "raise", "exit", "_exit"})
_COMPARES = re.compile(r"(?<![-=<>])[<>]=?(?![<>])")
_UNITS = (NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.MODULE, NodeKind.PARAMETER)
_MODES = frozenset({"torch.nn.Module.eval", "torch.nn.Module.train"})  # what a measurement relies on
_PRINTS = frozenset({"print", "write", "info", "log", "dump", "log_dict", "log_metrics"})


def protected_slots(graph: CodeGraph, declared: Iterable[str] = ()) -> frozenset[str]:
    """Return the slots of the protected nodes: statements, and units where there is no statement or the manifest names them.

    Raises: EditError: a declared slot names nothing.
    """
    slots = {_named(graph, slot).slot for slot in declared}
    tests, calls = list(_tests(graph)), list(_frozen_calls(graph))
    sliced = list(slice_of(graph, [*tests, *_leaving(graph)]))
    slots |= {node.slot for node in (*sliced, *calls, *_heirs(graph))}
    slots |= {slot for node in sliced for slot in _givers(graph, node)}
    measuring = [node for node in calls if not _feeds_training(graph, node)]
    measuring += [graph.nodes[slot] for node in measuring for slot in _receivers(graph, node)]
    slots |= {node.slot for node in measuring}
    while measuring:  # what only a measurement reads belongs to it
        found = {n.slot: n for reader in measuring for n in _definitions(graph, reader)}
        new = [
            n
            for slot, n in found.items()
            if slot not in slots and all(_covered(graph, r, slots) for r in _readers(graph, n))
        ]
        slots |= {n.slot for n in new}
        measuring = new
    bound = [graph.nodes[slot] for slot in slots]
    slots |= {r for node in bound for r in _readers(graph, node) if graph.nodes[r].label in _PRINTS}
    return frozenset(slots)


def is_protected(graph: CodeGraph, node: Node, protected: frozenset[str]) -> bool:
    """Whether a node stands in a protected header or unit. The block below a protected `while` is free."""
    statement = graph.statement(node)
    enclosing = {statement.slot} if statement is not None else set()
    units = {
        node.slot,
        *(n.slot for n in graph.ancestors(node) if n.kind in _UNITS),
    }
    default = {f"{node.scope}/param.{node.label}"} if node.role == "default" else set()
    return bool(protected & (enclosing | units | default))


def _named(graph: CodeGraph, slot: str) -> Node:
    node = graph.nodes.get(slot)
    if node is None:
        raise EditError(
            f"protected: {slot} names nothing in the sources; write a slot as `codegraft graph --json` prints it"
        )
    # A function may stand in a statement, as one below `if __name__ == "__main__":` does.
    return node if node.kind in _UNITS else graph.statement(node) or node


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


def _leaving(graph: CodeGraph) -> Iterator[Node]:
    """Walk the tests that leave a loop or a function by the clock or by what a frozen file says, however many names are between."""
    told = [s for s in graph.of_kind(NodeKind.STATEMENT) if not graph.frozen(s) and _is_told(graph, s)]
    seen = {s.slot for s in told}
    while told:
        statement = told.pop()
        if _decides(graph, statement):
            yield statement
        readers = () if _trains(graph, statement) else dict.fromkeys(_readers(graph, statement))
        new = [graph.nodes[slot] for slot in readers if slot not in seen and not graph.frozen(graph.nodes[slot])]
        told += new
        seen |= {s.slot for s in new}


def _is_told(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement asks a clock, or reads a name out of a frozen file."""
    inside = (graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.CONTAINS))
    clock = any(c in _CLOCKS for n in _calls_below(graph, inside) for c in graph.callees(n))
    return clock or any(_from_frozen(graph, slot) for slot in graph.targets(statement.slot, EdgeKind.READS))


def _calls_below(graph: CodeGraph, nodes: Iterable[Node]) -> Iterator[Node]:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.kind is NodeKind.CALL:
            yield node
        if node.kind in (NodeKind.CALL, NodeKind.OPERATOR):
            pending += (graph.nodes[slot] for slot in graph.targets(node.slot, EdgeKind.CONTAINS))


def _decides(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement is the test of a `while`, of an `if` that leaves, or hands a comparison on."""
    text = graph.text(statement)
    if text.startswith(("if ", "elif ")):
        inside = (graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.CONTAINS))
        return any(n.kind is NodeKind.STATEMENT and n.label in _LEAVES for n in inside)
    if " if " in text:  # a value that is chosen, not a test that is handed on
        return False
    return text.startswith("while ") or (not _is_header(graph, statement) and _COMPARES.search(text) is not None)


def _heirs(graph: CodeGraph) -> Iterator[Node]:
    """Walk the classes that descend from a class of a frozen file."""
    for node in graph.of_kind(NodeKind.CLASS):
        if not graph.frozen(node) and any(
            _is_frozen(graph, base) for base in graph.targets(node.slot, EdgeKind.INHERITS)
        ):
            yield node


def _givers(graph: CodeGraph, node: Node) -> Iterator[str]:
    """Walk the parameters that a guard reads, and the statements of the calls that give them their values."""
    for slot in graph.targets(node.slot, EdgeKind.READS):
        if graph.nodes[slot].kind is NodeKind.PARAMETER:
            yield slot
            for call in graph.sources(slot, EdgeKind.ARGUMENT):
                statement = graph.statement(graph.nodes[call])
                if statement is not None and not graph.frozen(statement):
                    yield statement.slot


def _receivers(graph: CodeGraph, statement: Node) -> Iterator[str]:
    """Walk the functions that a measurement is handed to and that train nothing: they tell it on."""
    inside = (graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.CONTAINS))
    for call in inside:
        ours = [graph.nodes[slot] for slot in graph.callees(call)] if call.kind is NodeKind.CALL else []
        for function in ours:
            if function.kind is NodeKind.FUNCTION and function.path and not graph.frozen(function):
                body = [
                    n
                    for n in graph.files[function.path].nodes
                    if n.scope == function.slot and n.kind is NodeKind.STATEMENT
                ]
                if not any(_trains(graph, n) for n in body):
                    yield function.slot


def _covered(graph: CodeGraph, slot: str, slots: set[str]) -> bool:
    """Whether a statement or its unit is protected."""
    return slot in slots or graph.nodes[slot].scope in slots


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


def slice_of(graph: CodeGraph, guards: Iterable[Node]) -> Iterator[Node]:
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
    inside = (
        [guard]
        if guard.kind is NodeKind.STATEMENT
        else [n for n in graph.files[guard.path].nodes if n.scope == guard.slot]
    )
    for edge in (edge for n in inside for edge in graph.out(n.slot) if edge.rule == Rule.PROPERTY):
        getter = graph.nodes[edge.target]
        found = graph.files[getter.path].nodes if getter.path and not graph.frozen(getter) else ()
        yield from (
            n for n in found if n.scope == getter.slot and n.kind is NodeKind.STATEMENT and not _trains(graph, n)
        )
    for slot in dict.fromkeys(slot for n in inside for slot in graph.targets(n.slot, EdgeKind.READS)):
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
