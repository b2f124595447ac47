"""Questions to a code graph: what is there, who calls it, where its value comes from and goes to, what a change of it reaches.

All are pure functions of the graph, and their answers are ordered: by distance where a distance is asked for, else by file and place.
`at_least` leaves out the edges that are less sure. Slices go statement by statement and flow through parameters, returns,
attributes and the headers around a statement; a name of a function goes from where it is bound to where that value is read. They
do not separate the calls of one function from each other, and do not see what a method puts into a container (`xs.append(x)`).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from graph.code_graph import RUNNERS
from graph.model import Confidence, EdgeKind, NodeKind
from graph.snapshot import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from graph.code_graph import CodeGraph
    from graph.model import Edge, Node

    Step = Callable[[CodeGraph, Node, Confidence], Iterable[str]]

UNKNOWN_SHARE = 0.2  # of the calls in what a change reaches; above it nobody can say that the rest is not reached

_YIELD = re.compile(r"\byield\b")
_ORDER = {Confidence.EXACT: 0, Confidence.INFERRED: 1, Confidence.MAY: 2}
_RUNS = frozenset({EdgeKind.CALLS, EdgeKind.INSTANTIATES})
_UNITS = frozenset({*RUNNERS, NodeKind.CLASS})
_NAMED = frozenset({
    NodeKind.MODULE, NodeKind.CLASS, NodeKind.FUNCTION, NodeKind.VARIABLE, NodeKind.ATTRIBUTE, NodeKind.PARAMETER,
    NodeKind.CONFIG, NodeKind.DIMENSION, NodeKind.ERROR,
})  # fmt: skip
_USES = frozenset({
    EdgeKind.CALLS, EdgeKind.INSTANTIATES, EdgeKind.INHERITS, EdgeKind.OVERRIDES, EdgeKind.DECORATES, EdgeKind.READS,
    EdgeKind.WRITES, EdgeKind.IMPORTS, EdgeKind.ARGUMENT, EdgeKind.RETURNS, EdgeKind.CONFIGURES, EdgeKind.SUBMODULE,
    EdgeKind.OPTIMIZES,
})  # fmt: skip
_DEPENDS = _USES - {EdgeKind.WRITES, EdgeKind.DECORATES, EdgeKind.IMPORTS, EdgeKind.CONFIGURES}  # the source depends
_CARRIES = frozenset({EdgeKind.DECORATES, EdgeKind.CONFIGURES, EdgeKind.SHAPES})  # the destination depends
_EXPRESSIONS = frozenset({NodeKind.CALL, NodeKind.OPERATOR, NodeKind.LITERAL, NodeKind.LAMBDA})
_HOLDERS = frozenset({NodeKind.VARIABLE, NodeKind.ATTRIBUTE, NodeKind.IMPORT, NodeKind.PARAMETER})


@dataclass(frozen=True, slots=True)
class Impact:
    """What a change of one node reaches: functions, lambdas, classes and modules, by how sure the surest way there is."""

    slot: str
    exact: tuple[str, ...]
    inferred: tuple[str, ...]
    may: tuple[str, ...]
    unresolved: int  # edges that nobody could follow, in what is reached, or anywhere under the name of the node
    verdict: Literal["known", "unknown"]  # unknown: what is not listed may be reached all the same


def locate(graph: CodeGraph, text: str) -> Node:
    """Return the node that a person means: a slot, a dotted name such as `model.GPT.forward`, or `file.py:LINE`.

    Raises: GraphError: nothing of the graph is called that, or several things are.
    """
    if text in graph.nodes:
        return graph.nodes[text]
    path, _, line = text.rpartition(":")
    found = list(_at_line(graph, path, int(line))) if line.isdecimal() and path else list(definitions(graph, text))
    if len(found) == 1 or (found and dotted(graph, found[0]) == text):
        return found[0]
    if found:
        raise GraphError(f"{text}: may be {', '.join(node.slot for node in found[:4])}; name one of them")
    if line.isdecimal() and path:
        raise GraphError(f"{text}: is no line of a file of the graph; name a file below the folder and a line in it")
    names = _similar(graph, text)
    raise GraphError(
        f"{text}: is no node of the graph; " + (f"near it: {names}" if names else "list nodes with --find GLOB")
    )


def find(
    graph: CodeGraph,
    *,
    kind: NodeKind | None = None,
    name: str = "*",
    path: str = "*",
    edge: EdgeKind | None = None,
) -> tuple[Node, ...]:
    """List nodes by kind, by a glob over their label, dotted name or slot, by a glob over their file, and by an edge that they have."""
    ends = {slot for e in graph.edges if e.kind is edge for slot in (e.source, e.target)}
    return tuple(
        node
        for node in graph.nodes.values()
        if (kind is None or node.kind is kind)
        and fnmatchcase(node.path, path)
        and (name == "*" or any(fnmatchcase(text, name) for text in (node.label, node.slot, dotted(graph, node))))
        and (edge is None or node.slot in ends)
    )


def callers(graph: CodeGraph, slot: str, *, depth: int = 1, at_least: Confidence = Confidence.MAY) -> tuple[str, ...]:
    """List the functions, lambdas and modules that run a function or make a class, `depth` calls away at most, nearest first.

    Who makes a subclass, or runs the constructor by `super()`, makes no instance of the class: ask for the callers of `__init__`.
    """

    def step(called: str) -> Iterator[str]:
        for edge in graph.into(called):
            if edge.kind in _RUNS and is_sure(edge, at_least):
                yield caller_of(graph, edge).slot

    return _levels(_node(graph, slot).slot, step, depth)


def callees(graph: CodeGraph, slot: str, *, depth: int = 1, at_least: Confidence = Confidence.MAY) -> tuple[str, ...]:
    """List what a function, lambda or module runs or makes, externals included, `depth` calls away at most, nearest first."""

    def step(caller: str) -> Iterator[str]:
        run = (graph.nodes[caller], *run_by(graph, caller))
        defined = (child for node in run for child in _children(graph, node.slot) if child.kind is NodeKind.FUNCTION)
        for site in (*(node for node in run if node.slot != caller or node.kind not in _UNITS), *defined):
            for edge in graph.out(site.slot):
                if edge.kind in _RUNS and is_sure(edge, at_least):
                    yield edge.target

    return _levels(_node(graph, slot).slot, step, depth)


def definitions(graph: CodeGraph, name: str) -> tuple[Node, ...]:
    """List what a dotted name stands for: nodes with exactly that name, else those whose name ends in it; classes and functions first."""
    label = name.rpartition(".")[2]
    named = [
        (node, dotted(graph, node))
        for node in graph.nodes.values()
        if node.kind in _NAMED and (node.label.rpartition(".")[2] == label)
    ]
    exact = [node for node, full in named if full == name]
    found = exact or [node for node, full in named if f".{full}".endswith(f".{name}")]
    units = [node for node in found if node.kind in _UNITS]
    return tuple(units or found)


def uses(graph: CodeGraph, slot: str, *, at_least: Confidence = Confidence.MAY) -> tuple[Edge, ...]:
    """List the edges that use a definition, also through the imports that bring it elsewhere, ordered by the place of use."""
    subjects = _with_imports(graph, (_node(graph, slot).slot,))
    found = dict.fromkeys(e for s in subjects for e in graph.into(s) if e.kind in _USES and is_sure(e, at_least))
    return tuple(sorted(found, key=lambda edge: (*_place(graph.nodes[edge.source]), edge.target, edge.kind)))


def backward_slice(graph: CodeGraph, slot: str, *, at_least: Confidence = Confidence.MAY) -> tuple[str, ...]:
    """List what the value at a node comes from: statements, parameters, variables, attributes and functions, itself included."""
    return _slice(graph, slot, _before, at_least)


def forward_slice(graph: CodeGraph, slot: str, *, at_least: Confidence = Confidence.MAY) -> tuple[str, ...]:
    """List what the value at a node goes to: statements, parameters, variables, attributes and functions, itself included."""
    return _slice(graph, slot, _after, at_least)


def impact(graph: CodeGraph, slot: str) -> Impact:
    """Say which functions, lambdas, classes and modules a change of a node reaches, by the surest way to each.

    The verdict is `unknown` when a file does not parse, when a call that could not be followed has the node's name, or when more
    than a fifth of the calls in what is reached could not be followed.
    """
    start = _node(graph, slot)
    reached: dict[str, Confidence] = {}
    first = unit_of(graph, start).slot
    if first != slot and start.kind not in _HOLDERS:  # who binds a name is found by its edges
        reached[first] = Confidence.EXACT
    for at_least in _ORDER:
        pending = deque([start.slot, *reached])
        while pending:
            for unit in _dependents(graph, graph.nodes[pending.popleft()], start, at_least):
                if unit not in reached and unit != slot:
                    reached[unit] = at_least
                    pending.append(unit)
    named, inside, total = _unresolved(graph, start.label, {first, *reached})
    unknown = named or inside > UNKNOWN_SHARE * total or any(file.error for file in graph.files.values())
    exact, inferred, may = (_placed(graph, (s for s, sure in reached.items() if sure is c)) for c in _ORDER)
    return Impact(slot, exact, inferred, may, named + inside, "unknown" if unknown else "known")


def path(graph: CodeGraph, first: str, last: str, *, at_least: Confidence = Confidence.MAY) -> tuple[Edge, ...]:
    """Return the edges of a shortest way from one node to another; empty when there is none."""
    goal = _node(graph, last).slot
    came: dict[str, Edge | None] = {_node(graph, first).slot: None}
    pending = deque(came)
    while pending and goal not in came:
        for edge in graph.out(pending.popleft()):
            if edge.target not in came and is_sure(edge, at_least):
                came[edge.target] = edge
                pending.append(edge.target)
    way: list[Edge] = []
    while (last_edge := came.get(goal)) is not None:
        way.append(last_edge)
        goal = last_edge.source
    return tuple(reversed(way))


def dotted(graph: CodeGraph, node: Node) -> str:
    """Return the dotted name of a node: module, scopes and label; definitions of one name in one scope share it."""
    labels: list[str] = []
    while node.scope in graph.nodes:
        labels.append(node.label)
        node = graph.nodes[node.scope]
    return ".".join((node.slot, *reversed(labels)))


def unit_of(graph: CodeGraph, node: Node) -> Node:
    """Return the function, lambda, class or module that a node is or stands in; an external is its own."""
    return next((n for n in (node, *graph.ancestors(node)) if n.kind in _UNITS), node)


def is_sure(edge: Edge, at_least: Confidence) -> bool:
    """Whether an edge is at least as sure as asked for."""
    return _ORDER[edge.confidence] <= _ORDER[at_least]


def caller_of(graph: CodeGraph, edge: Edge) -> Node:
    """Return the function, lambda or module that runs what an edge runs; the decorators of a function run in what is around it."""
    node = graph.nodes[edge.source]
    around = graph.parent(node) if node.kind is NodeKind.FUNCTION else None
    return graph.runner(around if around is not None else node)


def run_by(graph: CodeGraph, slot: str) -> Iterator[Node]:
    """Walk the nodes that running a function, lambda or module runs; class bodies inside it too, functions inside it not."""
    pending = [*_children(graph, slot)]
    while pending:
        child = pending.pop()
        inside = _children(graph, child.slot)
        if child.kind is NodeKind.FUNCTION:  # only the defaults of its parameters run here
            pending.extend(c for c in inside if c.kind in _EXPRESSIONS and graph.runner(c).slot == slot)
        elif child.kind is not NodeKind.LAMBDA and graph.runner(child).slot == slot:
            yield child
            pending.extend(inside)


# --- walking ---------------------------------------------------------------------------------------------------------------------


def _node(graph: CodeGraph, slot: str) -> Node:
    if slot not in graph.nodes:
        raise GraphError(f"{slot}: is no slot of the graph; find one with find(graph, name=...)")
    return graph.nodes[slot]


def _place(node: Node) -> tuple[str, int, str]:
    return node.path, node.start, node.slot


def _placed(graph: CodeGraph, slots: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(slots, key=lambda slot: _place(graph.nodes[slot])))


def _children(graph: CodeGraph, slot: str) -> Iterator[Node]:
    return (graph.nodes[edge.target] for edge in graph.out(slot) if edge.kind is EdgeKind.CONTAINS)


def _levels(start: str, step: Callable[[str], Iterable[str]], depth: int) -> tuple[str, ...]:
    found: dict[str, None] = {}
    level = [start]
    for _ in range(depth):
        level = sorted({slot for known in level for slot in step(known)} - found.keys())
        found.update(dict.fromkeys(level))
    return tuple(found)


def _with_imports(graph: CodeGraph, slots: Iterable[str]) -> tuple[str, ...]:
    """Add the imports that bind one of the slots, and the imports of those."""
    found = dict.fromkeys(slots)
    pending = list(found)
    while pending:
        for edge in graph.into(pending.pop()):
            if edge.kind is EdgeKind.IMPORTS and edge.source not in found:
                found[edge.source] = None
                pending.append(edge.source)
    return tuple(found)


def _at_line(graph: CodeGraph, path: str, line: int) -> Iterator[Node]:
    """Give the definition or statement that begins on a line, else the innermost one around it, in each file that is meant."""
    files = [p for p in graph.files if p == path] or [p for p in graph.files if f"/{p}".endswith(f"/{path}")]
    kinds = (NodeKind.CLASS, NodeKind.FUNCTION, NodeKind.STATEMENT, NodeKind.IMPORT, NodeKind.MODULE, NodeKind.ERROR)
    for file in files:
        data = graph.files[file].data
        lines = data.split(b"\n")
        start = sum(len(text) + 1 for text in lines[: line - 1])
        end = start + len(lines[line - 1]) if 0 < line <= len(lines) else -1
        around = [n for n in graph.nodes.values() if n.path == file and n.kind in kinds and n.start <= end]
        begins = [n for n in around if start <= n.start <= end and n.kind is not NodeKind.MODULE]
        inside = [n for n in around if start < n.end]
        found = min(begins, key=lambda n: n.start) if begins else max(inside, key=lambda n: n.start, default=None)
        if found is not None:
            yield found


def _similar(graph: CodeGraph, text: str) -> str:
    """Name what is spelled nearly so: definitions, or the nodes of the scope that the text begins with."""
    scope = text.partition("/")[0]
    inside = [slot for slot in graph.nodes if slot.startswith(f"{scope}/")] if "/" in text else []
    units = [node for node in graph.nodes.values() if node.kind in _UNITS]
    names = {node.slot: node.slot for node in units} | {dotted(graph, node): node.slot for node in units}
    near = get_close_matches(text, inside or sorted(names), n=3, cutoff=0.5)
    last = text.replace(":", ".").rpartition(".")[2]
    near += [node.slot for node in units if node.label == last][:2]
    return ", ".join(dict.fromkeys(names.get(name, name) for name in near))


# --- slices ----------------------------------------------------------------------------------------------------------------------


def _slice(graph: CodeGraph, slot: str, step: Step, at_least: Confidence) -> tuple[str, ...]:
    found = {slot: None}
    pending = [_node(graph, slot).slot]
    while pending:
        node = graph.nodes[pending.pop()]
        for reached in (_carrier(graph, node), *step(graph, node, at_least)):
            if reached not in found and graph.nodes[reached].kind is not NodeKind.EXTERNAL:
                found[reached] = None
                pending.append(reached)
    return _placed(graph, found)


def _carrier(graph: CodeGraph, node: Node) -> str:
    """Return what holds the value of an expression: its statement, or the parameter that it is the default of; else itself."""
    if node.kind not in _EXPRESSIONS:
        return node.slot
    holder = next((n for n in graph.ancestors(node) if n.kind is NodeKind.STATEMENT or n.kind in _UNITS), node)
    parameters = (child for child in _children(graph, holder.slot) if child.kind is NodeKind.PARAMETER)
    return next((p.slot for p in parameters if p.start <= node.start < p.end), holder.slot)


def _gives(graph: CodeGraph, node: Node) -> bool:
    """Whether a statement gives a value to who called the function."""
    return node.kind is NodeKind.STATEMENT and (node.label == "return" or bool(_YIELD.search(graph.text(node))))


def _inside(graph: CodeGraph, node: Node) -> Iterator[str]:
    """Walk the slots of a statement's own expressions."""
    pending = [node.slot]
    while pending:
        slot = pending.pop()
        yield slot
        own = (c.slot for c in _children(graph, slot) if c.kind is not NodeKind.STATEMENT and c.kind not in _UNITS)
        pending.extend(own)


def _before(graph: CodeGraph, node: Node, at_least: Confidence) -> Iterator[str]:
    came = [edge for edge in graph.into(node.slot) if is_sure(edge, at_least)]
    left = [edge for edge in graph.out(node.slot) if is_sure(edge, at_least)]
    yield from (edge.source for edge in came if edge.kind in (EdgeKind.DEF_USE, EdgeKind.CONFIGURES))
    match node.kind:
        case NodeKind.STATEMENT:
            for held in (graph.nodes[e.target] for e in left if e.kind is EdgeKind.READS):
                yield from _elsewhere(graph, held, EdgeKind.WRITES) if _reached(graph, node, held) else (held.slot,)
            parts = (edge for slot in _inside(graph, node) for edge in graph.out(slot) if is_sure(edge, at_least))
            yield from (edge.target for edge in parts if edge.kind in _RUNS)
            yield from _around(graph, node)
        case NodeKind.VARIABLE | NodeKind.ATTRIBUTE:
            yield from (edge.source for edge in came if edge.kind is EdgeKind.WRITES)
        case NodeKind.IMPORT:
            yield from (edge.target for edge in left if edge.kind is EdgeKind.IMPORTS)
        case NodeKind.PARAMETER:
            yield from (edge.source for edge in came if edge.kind is EdgeKind.ARGUMENT)
            yield from _default(graph, node, at_least)
        case NodeKind.FUNCTION:
            yield from (n.slot for n in run_by(graph, node.slot) if _gives(graph, n))


def _after(graph: CodeGraph, node: Node, at_least: Confidence) -> Iterator[str]:
    came = [edge for edge in graph.into(node.slot) if is_sure(edge, at_least)]
    left = [edge for edge in graph.out(node.slot) if is_sure(edge, at_least)]
    onwards = (EdgeKind.DEF_USE, EdgeKind.CONFIGURES, EdgeKind.SHAPES)
    yield from (edge.target for edge in left if edge.kind in onwards)
    match node.kind:
        case NodeKind.STATEMENT:
            for held in (graph.nodes[e.target] for e in left if e.kind is EdgeKind.WRITES):
                yield from _readers(graph, held) if _is_local(node, held) else (held.slot,)
            parts = (edge for slot in _inside(graph, node) for edge in graph.out(slot) if is_sure(edge, at_least))
            yield from (edge.target for edge in parts if edge.kind is EdgeKind.ARGUMENT)
            yield from (child.slot for child in _children(graph, node.slot) if child.kind is NodeKind.STATEMENT)
            if _gives(graph, node):
                yield graph.runner(node).slot
        case NodeKind.PARAMETER:
            yield from _readers(graph, node)
        case NodeKind.VARIABLE | NodeKind.ATTRIBUTE | NodeKind.IMPORT:
            yield from (edge.source for edge in came if edge.kind in (EdgeKind.READS, EdgeKind.IMPORTS))
        case NodeKind.FUNCTION | NodeKind.CLASS:
            yield from (edge.source for edge in came if edge.kind in (*_RUNS, EdgeKind.READS))


def _is_local(node: Node, held: Node) -> bool:
    """Whether a name belongs to the very function or module that a statement is in: def-use edges say where its values go."""
    return held.kind in (NodeKind.VARIABLE, NodeKind.PARAMETER) and held.scope == node.scope


def _reached(graph: CodeGraph, node: Node, held: Node) -> bool:
    """Whether def-use edges say which values of a local name a statement reads."""
    if not _is_local(node, held):
        return False
    binders = graph.sources(node.slot, EdgeKind.DEF_USE)
    bound = (target for slot in binders for target in (slot, *graph.targets(slot, EdgeKind.WRITES)))
    return any(_is_local(node, graph.nodes[slot]) and graph.nodes[slot].label == held.label for slot in bound)


def _elsewhere(graph: CodeGraph, held: Node, kind: EdgeKind) -> Iterator[str]:
    """Walk the statements of other functions that read or write a name of this one."""
    return (slot for slot in graph.sources(held.slot, kind) if graph.nodes[slot].scope != held.scope)


def _readers(graph: CodeGraph, held: Node) -> Iterator[str]:
    """Walk the statements that read a local name and that def-use edges do not lead to."""
    read = graph.sources(held.slot, EdgeKind.READS)
    return (slot for slot in read if not _reached(graph, graph.nodes[slot], held))


def _default(graph: CodeGraph, parameter: Node, at_least: Confidence) -> Iterator[str]:
    """Walk what the default of a parameter is made of: names that its function reads, and what calls in it run."""
    words = frozenset(re.findall(r"\w+", graph.text(parameter)))
    read = graph.targets(parameter.scope, EdgeKind.READS)
    yield from (slot for slot in read if graph.nodes[slot].label in words)
    around = _children(graph, parameter.scope)
    own = (n for n in around if n.kind in _EXPRESSIONS and parameter.start <= n.start < parameter.end)
    parts = (edge for node in own for slot in _inside(graph, node) for edge in graph.out(slot))
    yield from (edge.target for edge in parts if edge.kind in _RUNS and is_sure(edge, at_least))


def _around(graph: CodeGraph, node: Node) -> Iterator[str]:
    around = graph.parent(node)
    if around is not None and around.kind is NodeKind.STATEMENT:
        yield around.slot


# --- impact ----------------------------------------------------------------------------------------------------------------------


def _dependents(graph: CodeGraph, node: Node, start: Node, at_least: Confidence) -> Iterator[str]:
    kinds = _DEPENDS | {EdgeKind.WRITES} if node is start else _DEPENDS
    for subject in _with_imports(graph, _subjects(graph, node, start)):
        for edge in graph.into(subject):
            if edge.kind in kinds and is_sure(edge, at_least):
                yield unit_of(graph, graph.nodes[edge.source]).slot
        for edge in graph.out(subject):
            if edge.kind in _CARRIES and is_sure(edge, at_least) and edge.target in graph.nodes:
                yield unit_of(graph, graph.nodes[edge.target]).slot


def _subjects(graph: CodeGraph, node: Node, start: Node) -> tuple[str, ...]:
    """Return what others depend on when they depend on a node.

    The one that is changed brings its members when it is a class or module, and what it writes for others when it is a statement.
    """
    if node is start and node.kind in (NodeKind.CLASS, NodeKind.MODULE):
        return node.slot, *graph.targets(node.slot, EdgeKind.DEFINES)
    if node.kind is NodeKind.MODULE:  # that it runs something else does not change what it gives to others
        return ()
    if node.kind is NodeKind.PARAMETER:
        return node.slot, node.scope
    if node.kind in _HOLDERS or node.kind in _UNITS:
        return (node.slot,)
    carrier = _carrier(graph, node)
    return node.slot, carrier, *graph.targets(carrier, EdgeKind.WRITES)


def _unresolved(graph: CodeGraph, label: str, units: set[str]) -> tuple[int, int, int]:
    """Count what could not be followed: elsewhere under a name, in the units, and the calls of the units."""
    named = inside = 0
    for edge in graph.edges:
        if edge.kind is EdgeKind.UNRESOLVED:
            within = unit_of(graph, graph.nodes[edge.source]).slot in units
            inside += within
            named += not within and edge.target.removeprefix("?").rpartition(".")[2] == label
    return named, inside, sum(unit_of(graph, call).slot in units for call in graph.of_kind(NodeKind.CALL))
