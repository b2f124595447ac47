"""Weights that code initialises: whether a tensor is a matrix, by the layers that the sources make under its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.model import EdgeKind, Node, NodeKind

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph

_MATRICES = r"(?:Linear|Embedding|EmbeddingBag|Bilinear|Conv[123]d|ConvTranspose[123]d)"
_GUARD = re.compile(r"isinstance\(\s*(\w+),\s*([^)]*?\)?)\)")


def layer_of(graph: CodeGraph, site: Node, tensor: str) -> str:
    """Return the name of the layer whose weight a tensor is, as the code at a site writes it; empty when that is not plain to see.

    `self.lm_head.weight` is of lm_head, `ve.weight` in `for ve in self.value_embeds.values()` of value_embeds, and `p` behind
    `if name.endswith("c_proj.weight")` of c_proj.
    """
    headers = [graph.text(n) for n in graph.ancestors(site) if n.kind is NodeKind.STATEMENT]
    whole = re.fullmatch(r"(?:[\w.\[\]]*[.])?(\w+)\.weight(?:\.data)?", tensor)
    if whole is None:
        ends = [
            m[1] for header in headers if (m := re.search(r"endswith\(\s*['\"][\w.]*?(\w+)\.weight['\"]\s*\)", header))
        ]
        return ends[0] if ends and tensor.isidentifier() else ""
    looped = [
        m[1] for header in headers if (m := re.match(rf"for {whole[1]} in [\w.]*?(\w+)(?:\.values\(\))?:", header))
    ]
    return looped[0] if looped else "" if tensor.count(".") == 1 else whole[1]


def is_matrix(graph: CodeGraph, site: Node, tensor: str) -> bool:
    """Whether a tensor has two dimensions at least: the weight of what a header says, or the sources make, to be such a layer."""
    for header in (graph.text(n) for n in graph.ancestors(site) if n.kind is NodeKind.STATEMENT):
        if re.search(rf"\b{re.escape(tensor)}\.(ndim|dim\(\)|ndimension\(\)) (> 1|>= 2|== [2-9])", header):
            return True
        tested = _GUARD.search(header)
        if tested is not None and re.fullmatch(rf"{tested[1]}\.weight(\.data)?", tensor):
            names = re.findall(r"\w+(?=\s*(?:[,|)]|$))", tested[2])
            return bool(names) and all(re.fullmatch(_MATRICES, name) for name in names)
    name = layer_of(graph, site, tensor)
    made = _made_as(graph, name) if name else set()
    return bool(made) and all(re.fullmatch(_MATRICES, kind) for kind in made)


def _made_as(graph: CodeGraph, name: str) -> set[str]:
    """Return the last names of the layer classes that the sources keep under a name."""
    found: set[str] = set()
    for attribute in graph.of_kind(NodeKind.ATTRIBUTE):
        for slot in graph.targets(attribute.slot, EdgeKind.SUBMODULE) if attribute.label == name else ():
            found.add(_library_class(graph, slot))
    entry = re.compile(rf"['\"]?\b{name}['\"]?\s*[:=]\s*(?:\w+\.)*([A-Z]\w*)\(".encode())
    return found or {m[1].decode() for file in graph.files.values() for m in entry.finditer(file.data)}


def _library_class(graph: CodeGraph, slot: str) -> str:
    external = [base for base in graph.lineage(slot) if not graph.nodes[base].path]
    return external[0].rpartition(".")[2] if external else slot
