"""The code graph of one snapshot, and the questions that it answers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from graph.model import EdgeKind, NodeKind
from graph.snapshot import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tree_sitter import Node as SyntaxNode

    from graph.model import Edge, Node
    from graph.resolve import Resolver
    from graph.snapshot import Snapshot
    from graph.syntax import FileSyntax


@dataclass(frozen=True)
class CodeGraph:
    """All nodes and edges of one snapshot. Equal sources give equal graphs."""

    snapshot: Snapshot = field(compare=False)
    nodes: Mapping[str, Node]  # by slot, file by file in source order
    edges: tuple[Edge, ...]
    files: Mapping[str, FileSyntax] = field(compare=False, repr=False)  # the index that they were read from
    resolver: Resolver = field(compare=False, repr=False)

    @cached_property
    def _out(self) -> Mapping[str, tuple[Edge, ...]]:
        return _group(self.edges, lambda edge: edge.source)

    @cached_property
    def _into(self) -> Mapping[str, tuple[Edge, ...]]:
        return _group(self.edges, lambda edge: edge.target)

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
        return tuple(edge.target for edge in self._out.get(slot, ()) if edge.kind is kind)

    def sources(self, slot: str, kind: EdgeKind) -> tuple[str, ...]:
        """Where the edges of one kind come from."""
        return tuple(edge.source for edge in self._into.get(slot, ()) if edge.kind is kind)

    def parent(self, node: Node) -> Node | None:
        """Return the node that directly encloses this one."""
        return next((self.nodes[slot] for slot in self.sources(node.slot, EdgeKind.CONTAINS)), None)

    def ancestors(self, node: Node) -> Iterator[Node]:
        """Walk from the directly enclosing node outwards to the module."""
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)

    def statement(self, node: Node) -> Node | None:
        """Return the statement that the node is or stands in."""
        return next((n for n in (node, *self.ancestors(node)) if n.kind is NodeKind.STATEMENT), None)

    def callees(self, call: Node) -> tuple[str, ...]:
        """Return what a call site runs: slots of functions and classes, import paths of externals; empty when unresolved."""
        return self.targets(call.slot, EdgeKind.CALLS)

    def instances(self, scope: str) -> Iterator[tuple[str, str]]:
        """Walk (name, class slot) of the names of a function or module that hold an instance of a class of ours."""
        for name, bindings in self.files[self.nodes[scope].path].scopes[scope].bindings.items():
            values = frozenset().union(*(self.resolver.infer_binding(binding) for binding in bindings))
            yield from ((name, value.name) for value in sorted(values) if value.tag == "instance" and name != "self")

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


def _group(edges: tuple[Edge, ...], key: Callable[[Edge], str]) -> Mapping[str, tuple[Edge, ...]]:
    grouped: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        grouped[key(edge)].append(edge)
    return {slot: tuple(found) for slot, found in grouped.items()}
