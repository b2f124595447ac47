"""The graph in figures for people, and the facts of one node or edge as plain values for other programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.model import Edge, Node

_RUNS = (EdgeKind.CALLS, EdgeKind.INSTANTIATES)


def summarize(graph: CodeGraph) -> Iterator[str]:
    """Walk the lines of a summary: size, what was resolved and how surely, what was not, and why a file is missing."""
    files = [file for file in graph.files.values() if not file.error]
    lines = sum(file.data.count(b"\n") for file in files)
    yield f"{len(files):,} files, {lines:,} lines, {len(graph.nodes):,} nodes, {len(graph.edges):,} edges"
    yield f"nodes    {_counts(Counter(node.kind.value for node in graph.nodes.values()))}"
    if graph.edges:
        yield f"edges    {_counts(Counter(edge.kind.value for edge in graph.edges))}"
    calls = {call.slot for call in graph.of_kind(NodeKind.CALL)}
    followed = calls & {edge.source for edge in graph.edges if edge.kind in _RUNS}
    missed = len(calls - followed)
    share = f" ({len(followed) / len(calls):.0%})" if calls else ""
    left = f", {missed:,} unresolved ({missed / len(calls):.0%})" if calls else ""
    yield f"calls    {len(followed):,} of {len(calls):,} resolved{share}{left}"
    sure = Counter(edge.confidence.value for edge in graph.edges if edge.kind in _RUNS)
    if sure:
        yield f"         what they run: {_counts(sure)}"
    unresolved = Counter(edge.target.removeprefix("?") for edge in graph.edges if edge.kind is EdgeKind.UNRESOLVED)
    if unresolved:
        yield f"         most often not: {', '.join(name for name, _ in unresolved.most_common(6) if name)}"
    yield from (f"error    {file.error}" for file in graph.files.values() if file.error)


def node_facts(graph: CodeGraph, node: Node) -> dict[str, str | int]:
    """Return everything that the graph says of a node but its slot; offsets in bytes, lines from 1."""
    # Not `start` and `end`: GEXF takes those for times.
    return {
        "kind": node.kind.value, "label": node.label, "path": node.path, "line": graph.line(node), "start_byte": node.start,
        "end_byte": node.end, "scope": node.scope, "role": node.role, "anchor": node.anchor, "frozen": int(graph.frozen(node)),
    }  # fmt: skip


def edge_facts(edge: Edge) -> dict[str, str]:
    """Return everything that an edge says but where it begins and ends."""
    return {"kind": edge.kind.value, "confidence": edge.confidence.value, "rule": str(edge.rule)}


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counter.most_common())
