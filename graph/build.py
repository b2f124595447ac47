"""Build the code graph of a snapshot, reusing every file that did not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Edge, EdgeKind, Node, NodeKind
from graph.resolve import Resolver, Tag, chain
from graph.syntax import BindingKind, FileSyntax, Use
from graph.walk import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from graph.snapshot import Snapshot

_DEFINED = (NodeKind.CLASS, NodeKind.FUNCTION, NodeKind.PARAMETER, NodeKind.ATTRIBUTE, NodeKind.VARIABLE)


def build_graph(snapshot: Snapshot, *, previous: CodeGraph | None = None) -> CodeGraph:
    """Parse every Python file of a snapshot, frozen ones included, into one graph.

    With `previous`, files whose bytes are equal are not parsed again; the result is the same.
    """
    files = {path: _read(path, data, previous) for path, data in sorted(snapshot.files.items()) if path.endswith(".py")}
    resolver = Resolver(files)
    nodes = {node.slot: node for file in files.values() for node in file.nodes}
    edges = dict.fromkeys(edge for file in files.values() for edge in _file_edges(file, resolver))
    for edge in edges:
        if edge.target not in nodes:
            nodes[edge.target] = Node(edge.target, NodeKind.EXTERNAL, "", 0, 0, "", edge.target.rpartition(".")[2])
    return CodeGraph(snapshot, nodes, tuple(edges), files, resolver)


def _read(path: str, data: bytes, previous: CodeGraph | None) -> FileSyntax:
    known = previous.files.get(path) if previous is not None else None
    return known if known is not None and known.data == data else read_file(path, data)


def _file_edges(file: FileSyntax, resolver: Resolver) -> Iterator[Edge]:
    for child, parent in file.parents.items():
        yield Edge(parent, child, EdgeKind.CONTAINS)
    for node in file.nodes:
        if node.kind in _DEFINED:
            yield Edge(node.scope, node.slot, EdgeKind.DEFINES)
    for scope in file.scopes.values():
        if scope.kind is NodeKind.CLASS:
            yield from _inherits(scope.slot, resolver)
        for binding in (b for bindings in scope.bindings.values() for b in bindings if b.kind is BindingKind.IMPORT):
            yield from _resolved(binding.slot, resolver.imported(binding), EdgeKind.IMPORTS, f"?{binding.target}")
    for call in file.calls:
        yield from _calls(call, resolver)
    for use in file.uses:
        yield from _uses(use, resolver)


def _inherits(slot: str, resolver: Resolver) -> Iterator[Edge]:
    for value in sorted(resolver.bases(slot)):
        yield Edge(slot, value.name, EdgeKind.INHERITS)


def _calls(call: Use, resolver: Resolver) -> Iterator[Edge]:
    function = call.syntax.child_by_field_name("function")
    if function is None:
        return
    callees = (value.name for value in resolver.callees(function, call.scope))
    yield from _resolved(call.owner, callees, EdgeKind.CALLS, f"?{chain(function)}")


def _resolved(source: str, targets: Iterable[str], kind: EdgeKind, unresolved: str) -> Iterator[Edge]:
    found = sorted(targets)
    for target in found:
        yield Edge(source, target, kind)
    if not found:
        yield Edge(source, unresolved, EdgeKind.UNRESOLVED)


def _uses(use: Use, resolver: Resolver) -> Iterator[Edge]:
    kind = EdgeKind.WRITES if use.writes else EdgeKind.READS
    if use.syntax.type == "identifier":
        bindings = resolver.lookup((use.syntax.text or b"").decode(), use.scope)
    else:
        base, name = use.syntax.child_by_field_name("object"), use.syntax.child_by_field_name("attribute")
        owners = sorted(v.name for v in resolver.infer(base, use.scope) if v.tag is Tag.INSTANCE) if base else []
        bindings = tuple(b for o in owners for b in resolver.attribute(o, (name.text or b"").decode() if name else ""))
    for slot in dict.fromkeys(binding.slot for binding in bindings):
        yield Edge(use.owner, slot, kind)
