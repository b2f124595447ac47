"""The graph in other programs' forms: PyCG's call graph, node-link JSON, GraphML, GEXF, DOT and Mermaid.

Equal graphs give equal texts. JSON loses nothing of nodes and edges and is read back. GraphML and GEXF are networkx's own, which is
imported when they are asked for. Mermaid is drawn between definitions, since no viewer shows ten thousand literals.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from graph.model import Confidence, Edge, EdgeKind, Node, NodeKind
from graph.query import caller_of, is_sure, unit_of
from graph.snapshot import GraphError
from graph.summary import edge_facts, node_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from graph.code_graph import CodeGraph

    Writer = Callable[[CodeGraph, Collection[str] | None], str]

SCHEMA = "codegraft/graph"
SCHEMA_VERSION = 1
MERMAID_EDGES = 400  # Mermaid refuses more than 500 edges by default

_SURER = {Confidence.EXACT: 0, Confidence.INFERRED: 1, Confidence.MAY: 2}
_FRAMES = frozenset({NodeKind.MODULE, NodeKind.CLASS, NodeKind.FUNCTION, NodeKind.LAMBDA})
_SHAPES = {
    NodeKind.MODULE: "folder",
    NodeKind.CLASS: "box",
    NodeKind.FUNCTION: "ellipse",
    NodeKind.EXTERNAL: "plaintext",
}
_STYLES = {Confidence.EXACT: "solid", Confidence.INFERRED: "dashed", Confidence.MAY: "dotted"}
_ARROWS = {Confidence.EXACT: "-->", Confidence.INFERRED: "-.->", Confidence.MAY: "-.->"}
_DRAWN = (  # what a drawing of definitions shows, the first kinds first when there are too many
    EdgeKind.INHERITS, EdgeKind.SUBMODULE, EdgeKind.INSTANTIATES, EdgeKind.CALLS, EdgeKind.OPTIMIZES, EdgeKind.OVERRIDES,
    EdgeKind.DECORATES, EdgeKind.IMPORTS, EdgeKind.CONFIGURES, EdgeKind.RETURNS,
)  # fmt: skip


class Format(StrEnum):
    """A form that the whole graph, or a part of it, is written in."""

    JSON = "json"
    GRAPHML = "graphml"
    GEXF = "gexf"
    DOT = "dot"
    MERMAID = "mermaid"


def call_graph(
    graph: CodeGraph, *, externals: bool = False, at_least: Confidence = Confidence.MAY
) -> dict[str, dict[str, Confidence]]:
    """Return who runs whom by dotted names, with the confidence of the surest edge; those less sure than `at_least` are left out.

    Names begin at the root folder: `main` is the body of a module, `main.f`, `main.C.m`, `main.f.inner` and `main.C.__init__` are
    functions, `main.f.<lambda1>` is the first lambda in `main.f`. The body of a class runs in what encloses it. Every module,
    function and lambda is a key. With `externals`, library functions appear by import path and builtins as `<builtin>.print`.
    """
    names = _frame_names(graph)
    found: dict[str, dict[str, Confidence]] = {
        names[slot]: {} for slot, node in graph.nodes.items() if slot in names and node.kind is not NodeKind.CLASS
    }
    for edge in graph.edges:
        if edge.kind is not EdgeKind.CALLS or not is_sure(edge, at_least):
            continue
        callee = _callee_name(graph, graph.nodes[edge.target], names, externals=externals)
        caller = names.get(caller_of(graph, edge).slot, "")
        if callee and caller:
            known = found[caller].get(callee, edge.confidence)
            found[caller][callee] = min(known, edge.confidence, key=_SURER.__getitem__)
    return {caller: dict(sorted(callees.items())) for caller, callees in sorted(found.items())}


def write(graph: CodeGraph, form: Format, *, only: Collection[str] | None = None) -> str:
    """Return the graph, or the part between the slots of `only`, in one of the forms."""
    return _WRITERS[form](graph, only)


def read_json(text: str) -> tuple[dict[str, Node], tuple[Edge, ...]]:
    """Return the nodes and edges that a JSON export holds, equal to those of the graph that was written.

    Raises: GraphError: the text is no such export, or of another schema version.
    """
    try:
        data = json.loads(text)
        version = (data["graph"]["schema"], data["graph"]["version"])
        if version != (SCHEMA, SCHEMA_VERSION):
            raise GraphError(f"export: has schema {version[0]} {version[1]}; this reads {SCHEMA} {SCHEMA_VERSION}")
        nodes = {facts["id"]: _node_of(facts) for facts in data["nodes"]}
        edges = tuple(_edge_of(facts) for facts in data["edges"])
    except (ValueError, KeyError, TypeError) as error:
        raise GraphError(
            f"export: is no node-link JSON of a graph ({error!r}); write one with --format json"
        ) from error
    return nodes, edges


# --- names of the call graph -----------------------------------------------------------------------------------------------------


def _frame_names(graph: CodeGraph) -> dict[str, str]:
    """Name modules, classes, functions and lambdas; the lambdas directly in one of them are numbered in source order."""
    frames = sorted(
        (node for node in graph.nodes.values() if node.kind in _FRAMES), key=lambda n: (n.path, n.start, -n.end)
    )
    names: dict[str, str] = {}
    lambdas: Counter[str] = Counter()
    for node in frames:
        around = next((n for n in graph.ancestors(node) if n.kind in _FRAMES), None)
        if node.kind is NodeKind.LAMBDA and around is not None:
            lambdas[around.slot] += 1
            names[node.slot] = f"{names[around.slot]}.<lambda{lambdas[around.slot]}>"
        else:
            scope = names.get(node.scope) if node.kind is not NodeKind.MODULE else None
            names[node.slot] = f"{scope}.{node.label}" if scope is not None else node.slot
    return names


def _callee_name(graph: CodeGraph, node: Node, names: Mapping[str, str], *, externals: bool) -> str:
    if node.kind is NodeKind.EXTERNAL:
        builtin, _, rest = node.slot.partition("builtins.")
        return "" if not externals else _builtin(rest) if rest and not builtin else node.slot
    return names.get(node.slot, "")  # making a class also runs its `__init__`, by an edge of its own


def _builtin(name: str) -> str:
    """Name a builtin function, or a method of a builtin type, as PyCG does."""
    kind, _, method = name.partition(".")
    return f"<**Py{kind.capitalize()}**>.{method}" if method else f"<builtin>.{name}"


# --- forms -----------------------------------------------------------------------------------------------------------------------


def _part(graph: CodeGraph, only: Collection[str] | None) -> tuple[list[Node], list[Edge]]:
    nodes = [node for slot, node in graph.nodes.items() if only is None or slot in only]
    kept = {node.slot for node in nodes}
    return nodes, [edge for edge in graph.edges if edge.source in kept and edge.target in kept]


def _json(graph: CodeGraph, only: Collection[str] | None) -> str:
    nodes, edges = _part(graph, only)
    data = {
        "directed": True,
        "multigraph": True,
        "graph": {"schema": SCHEMA, "version": SCHEMA_VERSION},
        "nodes": [{"id": node.slot, **node_facts(graph, node)} for node in nodes],
        "edges": [{"source": edge.source, "target": edge.target, **edge_facts(edge)} for edge in edges],
    }
    return json.dumps(data) + "\n"


def _node_of(facts: Mapping[str, str]) -> Node:
    return Node(
        facts["id"], NodeKind(facts["kind"]), facts["path"], int(facts["start_byte"]), int(facts["end_byte"]), facts["scope"],
        facts["label"], facts["anchor"], facts["role"],
    )  # fmt: skip


def _edge_of(facts: Mapping[str, str]) -> Edge:
    kind, confidence = EdgeKind(facts["kind"]), Confidence(facts["confidence"])
    return Edge(facts["source"], facts["target"], kind, confidence, facts["rule"])


def _dot(graph: CodeGraph, only: Collection[str] | None) -> str:
    nodes, edges = _part(graph, only)
    lines = ["digraph codegraft {", "  rankdir=LR;"]
    for node in nodes:
        place = f"\n{node.path}:{graph.line(node)}" if node.path else ""
        label = f"{node.label or node.slot}{place}"
        shape = _SHAPES.get(node.kind, "note")
        lines.append(
            f"  {_dot_text(node.slot)} [label={_dot_text(label)} shape={shape} class={_dot_text(node.kind.value)}];"
        )
    for edge in edges:
        label = f"{edge.kind.value} {edge.rule}".strip()
        ends = f"{_dot_text(edge.source)} -> {_dot_text(edge.target)}"
        lines.append(f"  {ends} [label={_dot_text(label)} style={_STYLES[edge.confidence]}];")
    return "\n".join([*lines, "}", ""])


def _dot_text(text: str) -> str:
    """Quote a text: in DOT a quote ends it, and a backslash begins an escape in labels."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", "\\n").replace("\0", " ")
    return f'"{escaped}"'


def _mermaid(graph: CodeGraph, only: Collection[str] | None) -> str:
    """Draw definitions; an edge of anything inside one becomes an edge of the definition."""
    nodes, edges = _part(graph, only)
    drawn: dict[tuple[str, str, EdgeKind], Confidence] = {}
    for edge in edges:
        ends = tuple(unit_of(graph, graph.nodes[slot]).slot for slot in (edge.source, edge.target))
        if edge.kind in _DRAWN and ends[0] != ends[1] and graph.nodes[ends[1]].kind is not NodeKind.EXTERNAL:
            key = (ends[0], ends[1], edge.kind)
            drawn[key] = min(drawn.get(key, edge.confidence), edge.confidence, key=_SURER.__getitem__)
    ranked = sorted(
        drawn, key=lambda key: (_SURER[drawn[key]], _DRAWN.index(key[2]))
    )  # stable: in source order below that
    kept = sorted(ranked[:MERMAID_EDGES])
    left = Counter(kind.value for _, _, kind in ranked[MERMAID_EDGES:])
    counts = ", ".join(f"{count} {kind}" for kind, count in left.most_common())
    shown = {slot for first, last, _ in kept for slot in (first, last)}
    if only is not None:  # what was asked for is shown without edges, too
        shown.update(node.slot for node in nodes if node.kind in _FRAMES)
    ids = {slot: f"n{i}" for i, slot in enumerate(sorted(shown))}
    return "\n".join([
        "flowchart LR",
        f"%% {len(ids)} definitions of {len(nodes)} nodes; statements, names, literals and externals are left out",
        f"%% {len(kept)} edges" + (f"; left out, the least sure first: {sum(left.values())} ({counts})" if left else ""),
        *(f"  {name}[{_mermaid_text(slot)}]" for slot, name in ids.items()),
        *(f"  {ids[first]} {_ARROWS[drawn[first, last, kind]]}|{kind.value}| {ids[last]}" for first, last, kind in kept),
        "",
    ])  # fmt: skip


def _mermaid_text(text: str) -> str:
    """Quote a label; what Mermaid would read as markup is written as an entity."""
    return '"' + re.sub(r"[^\w .:/\-]", lambda match: f"#{ord(match[0])};", text) + '"'


def _graphml(graph: CodeGraph, only: Collection[str] | None) -> str:
    return str(import_module("graph.views").to_graphml(graph, only=only))


def _gexf(graph: CodeGraph, only: Collection[str] | None) -> str:
    return str(import_module("graph.views").to_gexf(graph, only=only))


_WRITERS: Mapping[Format, Writer] = {
    Format.JSON: _json,
    Format.GRAPHML: _graphml,
    Format.GEXF: _gexf,
    Format.DOT: _dot,
    Format.MERMAID: _mermaid,
}
