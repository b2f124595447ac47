"""The graph for networkx, its public face to other libraries, and the two forms that networkx writes: GraphML and GEXF.

Nothing of ours computes on the view, and it is a copy: making it costs several times what building the graph does (20,000 nodes and
80,000 edges: 0.4 s, and 0.8 s for a copy of the copy). Import this module where the view is needed; it brings networkx with it.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

import networkx

from graph.summary import edge_facts, node_facts

if TYPE_CHECKING:
    from collections.abc import Collection

    from graph.code_graph import CodeGraph

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DATED = re.compile(r' lastmodifieddate="[^"]*"')  # today, in GEXF: equal graphs give equal texts


def to_networkx(graph: CodeGraph, *, only: Collection[str] | None = None) -> networkx.MultiDiGraph[str]:
    """Return the graph, or the part between the slots of `only`, as a networkx MultiDiGraph.

    Nodes are slots. The attributes of nodes and edges are strings and integers, which every writer of networkx takes.
    """
    view: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
    for slot, node in graph.nodes.items():
        if only is None or slot in only:
            view.add_node(slot, **node_facts(graph, node))
    for edge in graph.edges:
        if edge.source in view and edge.target in view:
            view.add_edge(edge.source, edge.target, **edge_facts(edge))
    return view


def to_graphml(graph: CodeGraph, *, only: Collection[str] | None = None) -> str:
    """Return the view as GraphML; characters that XML cannot hold are spelled out as Python escapes."""
    target = BytesIO()
    networkx.write_graphml_xml(_for_xml(to_networkx(graph, only=only)), target)
    return target.getvalue().decode() + "\n"


def to_gexf(graph: CodeGraph, *, only: Collection[str] | None = None) -> str:
    """Return the view as GEXF; characters that XML cannot hold are spelled out as Python escapes."""
    target = BytesIO()
    networkx.write_gexf(_for_xml(to_networkx(graph, only=only)), target)
    return _DATED.sub("", target.getvalue().decode(), count=1) + "\n"


def _for_xml(view: networkx.MultiDiGraph[str]) -> networkx.MultiDiGraph[str]:
    for _, facts in view.nodes(data=True):
        facts.update({key: _spelled(value) for key, value in facts.items() if isinstance(value, str)})
    return networkx.relabel_nodes(view, {slot: _spelled(slot) for slot in view if _NOT_XML.search(slot)})


def _spelled(text: str) -> str:
    return _NOT_XML.sub(lambda match: ascii(match[0])[1:-1], text)
