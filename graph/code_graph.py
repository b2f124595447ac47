"""The code graph of one snapshot, and the questions that it answers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from graph.model import EdgeKind, Node, NodeKind
from graph.snapshot import GraphError
from graph.syntax import lookup
from graph.values import Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tree_sitter import Node as SyntaxNode

    from graph.model import Edge
    from graph.resolve import Resolver
    from graph.snapshot import Snapshot
    from graph.syntax import Binding, FileSyntax, Scope
    from graph.values import Value

RUNNERS = frozenset({NodeKind.FUNCTION, NodeKind.LAMBDA, NodeKind.MODULE, NodeKind.ERROR})
_RUNS = (EdgeKind.CALLS, EdgeKind.INSTANTIATES)
_VIRTUAL = {"role:": NodeKind.ROLE, "dim:": NodeKind.DIMENSION}


@dataclass(frozen=True)
class FileEdges:
    """The edges that one file says, kept from graph to graph as long as nothing changes them."""

    file: FileSyntax
    fixed: tuple[Edge, ...]
    found: tuple[Edge, ...]
    consulted: frozenset[str]  # the declarations that they depend on

    @cached_property
    def foreign(self) -> tuple[str, ...]:
        """The ends of edges that do not stand in the file, each once."""
        own = self.file.by_slot
        ends = dict.fromkeys(slot for edge in (*self.fixed, *self.found) for slot in (edge.source, edge.target))
        return tuple(slot for slot in ends if slot not in own)

    @cached_property
    def by_source(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges by source."""
        return _group((*self.fixed, *self.found), lambda edge: edge.source)

    @cached_property
    def by_target(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges by target."""
        return _group((*self.fixed, *self.found), lambda edge: edge.target)


@dataclass(frozen=True, eq=False)
class CodeGraph:
    """All nodes and edges of one snapshot. Equal sources give equal graphs."""

    snapshot: Snapshot
    files: Mapping[str, FileSyntax] = field(repr=False)  # the index that the nodes were read from
    relations: Mapping[str, FileEdges] = field(repr=False)
    resolver: Resolver = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CodeGraph) and self.nodes == other.nodes and self.edges == other.edges

    __hash__ = None  # type: ignore[assignment]  # compared by content

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by slot, file by file in source order, then what stands outside the sources."""
        found: dict[str, Node] = {}
        for file in self.files.values():
            found.update(file.by_slot)
        for part in self.relations.values():
            for slot in part.foreign:
                if slot not in found:
                    found[slot] = _outside(slot)
        return found

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, file by file."""
        return tuple(edge for part in self.relations.values() for edge in (*part.fixed, *part.found))

    def out(self, slot: str) -> tuple[Edge, ...]:
        """Return the edges that leave a node."""
        return tuple(edge for part in self._saying(slot) for edge in part.by_source.get(slot, ()))

    def into(self, slot: str) -> tuple[Edge, ...]:
        """Return the edges that end at a node."""
        return tuple(edge for part in self._saying(slot) for edge in part.by_target.get(slot, ()))

    def _saying(self, slot: str) -> Sequence[FileEdges]:
        """Return the parts that say something of a node, file by file: its own file, and those in which it is foreign."""
        node = self.nodes.get(slot)
        own = self.relations.get(node.path) if node is not None else None
        others = self._foreign.get(slot, ())
        if own is None or not others:
            return others if own is None else (own,)
        return sorted((own, *others), key=lambda part: self._order[part.file.path])

    @cached_property
    def _foreign(self) -> Mapping[str, list[FileEdges]]:
        found: defaultdict[str, list[FileEdges]] = defaultdict(list)
        for part in self.relations.values():
            for slot in part.foreign:
                found[slot].append(part)
        return found

    @cached_property
    def _order(self) -> Mapping[str, int]:
        return {path: number for number, path in enumerate(self.relations)}

    def of_kind(self, kind: NodeKind) -> Iterator[Node]:
        """Walk the nodes of one kind in source order."""
        return (node for node in self.nodes.values() if node.kind is kind)

    def text(self, node: Node) -> str:
        """Return the source of a node; empty for externals."""
        return self.snapshot.files[node.path][node.start : node.end].decode() if node.path else ""

    def line(self, node: Node) -> int:
        """Return the line that a node starts on, from 1; 0 for externals."""
        return self.snapshot.files[node.path].count(b"\n", 0, node.start) + 1 if node.path else 0

    def frozen(self, node: Node) -> bool:
        """Whether the node stands in a file that no edit may touch."""
        return node.path in self.snapshot.frozen

    def targets(self, slot: str, kind: EdgeKind) -> tuple[str, ...]:
        """Where the edges of one kind lead from here."""
        return tuple(edge.target for edge in self.out(slot) if edge.kind is kind)

    def sources(self, slot: str, kind: EdgeKind) -> tuple[str, ...]:
        """Where the edges of one kind come from."""
        return tuple(edge.source for edge in self.into(slot) if edge.kind is kind)

    def parent(self, node: Node) -> Node | None:
        """Return the node that directly encloses this one."""
        file = self.files.get(node.path)
        slot = file.parents.get(node.slot) if file is not None else None
        return self.nodes[slot] if slot is not None else None

    def ancestors(self, node: Node) -> Iterator[Node]:
        """Walk from the directly enclosing node outwards to the module."""
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)

    def statement(self, node: Node) -> Node | None:
        """Return the statement that the node is or stands in."""
        return next((n for n in (node, *self.ancestors(node)) if n.kind is NodeKind.STATEMENT), None)

    def runner(self, node: Node) -> Node:
        """Return the function, lambda or module whose execution runs a node; itself for those.

        The default of a parameter runs where the function is defined.
        """
        frame = next((n for n in (node, *self.ancestors(node)) if n.kind in RUNNERS), node)
        if frame is node or frame.kind is not NodeKind.FUNCTION:
            return frame
        parameters = (self.nodes[slot] for slot in self.targets(frame.slot, EdgeKind.DEFINES))
        default = any(p.kind is NodeKind.PARAMETER and p.start <= node.start < p.end for p in parameters)
        outer = self.parent(frame) if default and node.kind is not NodeKind.PARAMETER else None
        return self.runner(outer) if outer is not None else frame

    def callees(self, call: Node) -> tuple[str, ...]:
        """Return what a call site runs or makes: slots of functions and classes, import paths of externals; empty when unresolved.

        A constructor call gives the slot of the class, and that of its `__init__` when the sources have one.
        """
        return tuple(edge.target for edge in self.out(call.slot) if edge.kind in _RUNS)

    # --- classes ------------------------------------------------------------------------------------------------------------------

    def lineage(self, class_slot: str) -> tuple[str, ...]:
        """Return a class and all that it descends from, each once and the nearest first: slots, import paths of externals."""
        found = {class_slot: None}
        pending = [class_slot]
        while pending:
            bases = dict.fromkeys(base for slot in pending for base in self.targets(slot, EdgeKind.INHERITS))
            pending = [base for base in bases if base not in found]
            found.update(dict.fromkeys(pending))
        return tuple(found)

    def external_bases(self, class_slot: str) -> frozenset[str]:
        """Return the import paths of all external classes that a class descends from."""
        return frozenset(
            base for base in self.lineage(class_slot) if base not in self.nodes or not self.nodes[base].path
        )

    def members(self, class_slot: str, name: str) -> tuple[str, ...]:
        """Return the nodes that a class and its bases of ours have under a name: methods, fields, what methods set on self."""
        scopes = [scope for slot in self.lineage(class_slot) if (scope := self._scope(slot)) is not None]
        bound = (binding.slot for scope in scopes for binding in scope.bindings.get(name, ()))
        set_on_self = (scope.attributes[name] for scope in scopes if name in scope.attributes)
        return tuple(dict.fromkeys((*bound, *set_on_self)))

    # --- names and their values ---------------------------------------------------------------------------------------------------

    def bindings(self, name: str, scope: str) -> tuple[Binding, ...]:
        """Return what binds a name as seen from a module, class or function; empty for builtins and what nothing binds."""
        file = self.files.get(self.nodes[scope].path) if scope in self.nodes else None
        return lookup(name, scope, file.scopes) if file is not None else ()

    def held(self, name: str, scope: str) -> tuple[Value, ...]:
        """Return what a name that this very scope binds may hold, as far as the resolver follows it."""
        return self.values(f"{scope}>{name}" if ":" in scope else f"{scope}:>{name}")

    def instances(self, scope: str) -> Iterator[tuple[str, str]]:
        """Walk (name, class slot) of the names of a function or module that hold an instance of a class of ours."""
        found = self._scope(scope)
        for name in found.bindings if found is not None else ():
            slots = sorted(value.name for value in self.held(name, scope) if value.tag is Tag.INSTANCE)
            yield from ((name, slot) for slot in slots if name != "self")

    def values(self, cell: str) -> tuple[Value, ...]:
        """Return what a cell of the resolver holds at this snapshot."""
        if cell not in self._values:
            self.resolver.move_to({path: file.facts for path, file in self.files.items()})
            self._values[cell] = tuple(self.resolver.values(cell))
        return self._values[cell]

    @cached_property
    def _values(self) -> dict[str, tuple[Value, ...]]:
        return {}  # what was asked before: other graphs move the resolver, and to go back and forth is not free

    def _scope(self, slot: str) -> Scope | None:
        file = self.files.get(self.nodes[slot].path)
        return file.scopes.get(slot) if file is not None else None

    @cached_property
    def memory(self) -> dict[object, object]:
        """What others derived from this graph and want to ask for again; it goes when the graph goes."""
        return {}

    # --- syntax -------------------------------------------------------------------------------------------------------------------

    def syntax(self, node: Node) -> SyntaxNode:
        """Return the parsed syntax of a node with exactly its span.

        Raises: GraphError: the node is an external or does not stand on a syntax node.
        """
        found = (
            self.files[node.path].tree.root_node.descendant_for_byte_range(node.start, node.end) if node.path else None
        )
        if found is None or (found.start_byte, found.end_byte) != (node.start, node.end):
            raise GraphError(
                f"{node.slot}: has no syntax of its own; ask for a call, an operator, a literal or a statement"
            )
        return found


def _outside(slot: str) -> Node:
    kind = next((kind for prefix, kind in _VIRTUAL.items() if slot.startswith(prefix)), NodeKind.EXTERNAL)
    return Node(
        slot, kind, "", 0, 0, "", slot.rpartition(".")[2] if kind is NodeKind.EXTERNAL else slot.partition(":")[2]
    )


def _group(edges: Iterable[Edge], key: Callable[[Edge], str]) -> Mapping[str, tuple[Edge, ...]]:
    grouped: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        grouped[key(edge)].append(edge)
    return {slot: tuple(found) for slot, found in grouped.items()}
