"""The graph for people and for other programs: a page of figures, and all of it as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

JsonObject = dict[str, str | int | bool]


def summarize(graph: CodeGraph) -> Iterator[str]:
    """Walk the lines of a summary: size, what was resolved, what was not and why a file is missing."""
    files = [file for file in graph.files.values() if not file.error]
    lines = sum(file.data.count(b"\n") for file in files)
    yield f"{len(files)} files, {lines:,} lines, {len(graph.nodes):,} nodes, {len(graph.edges):,} edges"
    yield f"nodes    {_counts(Counter(node.kind.value for node in graph.nodes.values()))}"
    yield f"edges    {_counts(Counter(edge.kind.value for edge in graph.edges))}"
    calls = list(graph.of_kind(NodeKind.CALL))
    resolved = sum(bool(graph.callees(call)) for call in calls)
    yield f"calls    {resolved:,} of {len(calls):,} resolved" + (f" ({resolved / len(calls):.0%})" if calls else "")
    unresolved = Counter(edge.target.removeprefix("?") for edge in graph.edges if edge.kind is EdgeKind.UNRESOLVED)
    if unresolved:
        yield f"         most often not: {', '.join(name for name, _ in unresolved.most_common(6) if name)}"
    yield from (f"error    {file.error}" for file in graph.files.values() if file.error)


def to_json(graph: CodeGraph) -> dict[str, list[JsonObject]]:
    """Return nodes and edges as plain objects; offsets in bytes, lines from 1."""
    return {
        "nodes": [
            {
                "slot": node.slot,
                "kind": node.kind.value,
                "path": node.path,
                "line": graph.line(node),
                "start": node.start,
                "end": node.end,
                "scope": node.scope,
                "label": node.label,
                "role": node.role,
                "anchor": node.anchor,
                "frozen": graph.frozen(node),
            }
            for node in graph.nodes.values()
        ],
        "edges": [{"source": edge.source, "target": edge.target, "kind": edge.kind.value} for edge in graph.edges],
    }


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counter.most_common())
