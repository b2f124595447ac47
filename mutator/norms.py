"""Normalisations: which calls make or apply one, over which dimension, and what else in the sources counts on their parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from graph.arguments import read_call
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import text_of
from mutator.callees import mentions, reached, runs_only, wrapped
from mutator.facts import FUNCTIONAL, TORCH_MODULE
from mutator.intents import Intent, ReplaceExpr, Span

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph

LAYERS = {"LayerNorm": "layer", "RMSNorm": "rms"}
IMAGES = {
    "BatchNorm1d": "batch",
    "BatchNorm2d": "batch",
    "BatchNorm3d": "batch",
    "GroupNorm": "group",
    "InstanceNorm2d": "instance",
}
_FUNCTIONS = {f"{FUNCTIONAL}.layer_norm": "layer", f"{FUNCTIONAL}.rms_norm": "rms"}


class Norm(NamedTuple):
    """A normalisation where it stands."""

    sort: str  # layer, rms, batch, group or instance
    form: str  # module, function, or ours: a class or function of the sources around one
    dim: str  # the expression of the size or shape of what it normalises over
    x: str = ""  # the input, of a function


def read_norm(graph: CodeGraph, call: Node) -> Norm | None:
    """Return the normalisation that a call makes or applies; None when it is another call, or gives too much by position."""
    read = read_call(graph, call)
    given = [a for a in read.arguments if not a.name]
    path = runs_only(graph, call)
    if read.starred or not (path or graph.callees(call)):
        return None
    sort = {**LAYERS, **IMAGES}.get(path.removeprefix("torch.nn."), "")
    if sort and given:
        several = len(given) > (3 if sort in LAYERS.values() else 2 if sort == "group" else 1)
        return None if several else Norm(sort, "module", given[-1].value if sort == "group" else given[0].value)
    if path in _FUNCTIONS and len(given) >= 2:
        return Norm(_FUNCTIONS[path], "function", given[1].value, given[0].value)
    if path or ("norm" not in call.label.lower() and not call.label.startswith("ln")):
        return None
    ours = [graph.nodes[slot] for slot in graph.callees(call)]
    if [n.kind for n in ours] == [NodeKind.FUNCTION] and len(read.arguments) == 1 and given and _plain(graph, ours[0]):
        sort = _FUNCTIONS.get((*reached(graph, call), "")[0], "")
        return Norm(sort, "ours", "", given[0].value) if sort else None
    owner = next((n for n in ours if n.kind is NodeKind.CLASS), None)
    sort = _sort_of_class(graph, owner) if owner is not None else ""
    return Norm(sort, "ours", given[0].value) if sort and given else None


def parameters_used(graph: CodeGraph, call: Node, gone: tuple[str, ...]) -> bool:
    """Whether other code asks the module that a call makes, by the name that it is given, for parameters that will be gone."""
    data = graph.snapshot.files[call.path]
    line = data[data.rfind(b"\n", 0, call.start) + 1 : call.start].decode(errors="replace")
    named = re.search(r"(\w+)['\"]?\s*[=:]\s*$", line)
    if named is None or not gone:
        return False
    used = re.compile(rf"\b{named[1]}(\[\w+\])?\.({'|'.join(gone)})\b".encode())
    return any(used.search(file.data) for file in graph.files.values())


def listed_too(graph: CodeGraph, site: Node, old: str, new: str) -> tuple[Intent, ...] | None:
    """Say how collections of module classes get the new class beside the old one, so that its weights are not forgotten.

    They decide about weight decay (minGPT); those in the folder of a site count. An `isinstance` test is left alone: the new module sets
    its own weights up. Returns: None when such a collection is frozen, or names the class alone.
    """
    planned: list[Intent] = []
    for path, syntax in mentions(graph, f"torch.nn.{old}"):
        around = syntax.parent
        if path.rpartition("/")[0] != site.path.rpartition("/")[0]:  # another program of the same collection
            continue
        if (
            around is None
            or around.type not in ("tuple", "list", "set")
            or (around.parent is not None and around.parent.type == "argument_list")
        ):
            continue
        if path in graph.snapshot.frozen:
            return None
        prefix = text_of(syntax).removesuffix(old)
        if not prefix:
            return None
        if f"{prefix}{new}" not in text_of(around):
            at = syntax.end_byte - around.start_byte
            text = (around.text or b"")[:at].decode() + f", {prefix}{new}" + (around.text or b"")[at:].decode()
            planned.append(ReplaceExpr(Span(path, around.start_byte, around.end_byte), text))
    return tuple(planned)


def _plain(graph: CodeGraph, function: Node) -> bool:
    return graph.nodes[function.scope].kind is NodeKind.MODULE


def _sort_of_class(graph: CodeGraph, owner: Node) -> str:
    """Return what a class of ours normalises as: its `forward` is one functional normalisation, its first argument the size."""
    if TORCH_MODULE not in graph.external_bases(owner.slot):
        return ""
    methods = {n.label: n for slot in graph.targets(owner.slot, EdgeKind.DEFINES) if (n := graph.nodes[slot]).path}
    forward, init = methods.get("forward"), methods.get("__init__")
    inner = wrapped(graph, forward) if forward is not None and forward.kind is NodeKind.FUNCTION else None
    if inner is None or init is None:
        return ""
    size = [
        graph.nodes[s].label
        for s in graph.targets(init.slot, EdgeKind.DEFINES)
        if graph.nodes[s].kind is NodeKind.PARAMETER
    ]
    made = len(size) > 1 and re.search(rf"\b(ones|zeros|empty)\(\(?{size[1]}\b", graph.text(init))
    return _FUNCTIONS.get(runs_only(graph, inner), "") if made else ""
