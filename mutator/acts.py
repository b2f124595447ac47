"""What running a statement or a call does besides giving a value: random numbers, writes, input and output.

Calls are followed through the graph into functions of ours, libraries are known by tables. What cannot be followed is `Act.UNKNOWN`, so
that what asks for nothing but a value is refused it.

Not covered: what descriptors, operators of foreign classes and `__getattr__` do.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.model import EdgeKind, Node, NodeKind
from mutator.effects import names_of
from mutator.memory import remembered

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph


class Act(StrEnum):
    """What running something does besides computing its value."""

    DRAWS = "draws"  # takes random numbers
    CHANGES = "changes"  # writes attributes, elements or tensors in place
    TELLS = "tells"  # prints, logs, reads a clock or a file
    UNKNOWN = "unknown"  # what it runs cannot be followed


_DEPTH = 6  # calls that are followed into functions of ours
_PURE_BUILTINS = re.compile(
    r"abs|all|any|bool|callable|dict|divmod|enumerate|filter|float|frozenset|getattr|hasattr|id|int|isinstance|"
    r"issubclass|len|list|map|max|min|pow|range|repr|reversed|round|set|slice|sorted|str|sum|super|tuple|type|"
    r"zip|complex"
)
_SETTERS = re.compile(
    r"append|extend|insert|remove|pop|clear|sort|reverse|update|setdefault|popitem|add|discard|put|backward|step|"
    r"zero_grad|register_buffer|register_parameter|add_module|load_state_dict|train|eval|requires_grad_|apply"
)
_DRAWS = re.compile(
    r"rand|rand_like|randn|randn_like|randint|randint_like|randperm|bernoulli|multinomial|normal|poisson|dropout|"
    r"dropout1d|dropout2d|dropout3d|alpha_dropout|feature_alpha_dropout|gumbel_softmax|rrelu|scaled_dot_product_attention"
)
_DRAWING_LAYERS = re.compile(
    r"Linear|Bilinear|Embedding|EmbeddingBag|Conv1d|Conv2d|Conv3d|ConvTranspose1d|ConvTranspose2d|ConvTranspose3d|"
    r"MultiheadAttention|RNN|LSTM|GRU|RNNCell|LSTMCell|GRUCell|Transformer|TransformerEncoderLayer|TransformerDecoderLayer"
)
_PURE_MODULES = ("math.", "operator.", "itertools.", "functools.", "dataclasses.", "typing.", "copy.", "numpy.")
_TELLING_TORCH = (
    "torch.cuda.",
    "torch.save",
    "torch.load",
    "torch.distributed.",
    "torch.manual_seed",
    "torch.set_",
    "torch.utils.",
)


def acts_of(graph: CodeGraph, statement: Node) -> frozenset[Act]:
    """Return what running a statement with its block does besides binding names."""
    return _acts_in(graph, statement, _DEPTH)


def acts_in(graph: CodeGraph, unit: Node) -> frozenset[Act]:
    """Return what running the body of a function does besides giving a value."""
    return _acts_in(graph, unit, _DEPTH)


def acts_of_call(graph: CodeGraph, call: Node) -> frozenset[Act]:
    """Return what a call does besides giving a value; that of its arguments is not counted."""
    return _acts_of_call(graph, call, _DEPTH)


@remembered
def _acts_in(graph: CodeGraph, unit: Node, depth: int) -> frozenset[Act]:
    found: set[Act] = set()
    own: list[Node] = []  # statements whose text holds all others
    pending = [unit]
    while pending:
        node = pending.pop()
        if node.kind is NodeKind.CALL:
            found |= _acts_of_call(graph, node, depth)
        if node.kind is NodeKind.STATEMENT:
            own.append(node)
        pending += [
            inner for slot in graph.targets(node.slot, EdgeKind.CONTAINS)
            if (inner := graph.nodes[slot]).kind not in (NodeKind.CLASS, NodeKind.LITERAL, NodeKind.VARIABLE)
        ]  # fmt: skip
    for statement in own:
        names = names_of(graph, statement) if statement.label not in ("if", "for", "while", "with", "try") else None
        if names is not None and names.stores:
            found.add(Act.CHANGES)
        if statement.label in ("delete", "raise", "global", "nonlocal"):
            found.add(Act.CHANGES)
    return frozenset(found)


@remembered
def _acts_of_call(graph: CodeGraph, call: Node, depth: int) -> frozenset[Act]:
    callees = graph.callees(call)
    if not callees:
        return frozenset({Act.UNKNOWN})
    found: set[Act] = set()
    for slot in callees:
        node = graph.nodes[slot]
        if not node.path:
            found |= external_acts(slot)
        elif node.kind is NodeKind.CLASS:
            found |= set() if len(callees) > 1 else {Act.CHANGES} if graph.external_bases(slot) else set()
        elif depth == 0:
            found.add(Act.UNKNOWN)
        elif node.label == "__init__":
            found |= _acts_in(graph, node, depth - 1) - {Act.CHANGES}
        else:
            found |= _acts_in(graph, node, depth - 1)
    return frozenset(found)


@lru_cache(maxsize=4096)
def external_acts(path: str) -> frozenset[Act]:
    """Return what a function outside of the sources does, by its import path."""
    *owners, name = path.split(".")
    if path.startswith("torch."):
        return _torch_acts(path, owners, name)
    if owners == ["builtins"]:
        return frozenset() if _PURE_BUILTINS.fullmatch(name) or name[:1].isupper() else frozenset({Act.TELLS})
    if owners[:1] == ["builtins"]:
        return (
            frozenset({Act.CHANGES})
            if _SETTERS.fullmatch(name) or (name.startswith("__") and "set" in name)
            else frozenset()
        )
    if "random" in owners or path.startswith("random."):
        return frozenset({Act.DRAWS})
    return frozenset() if path.startswith(_PURE_MODULES) else frozenset({Act.UNKNOWN})


def _torch_acts(path: str, owners: list[str], name: str) -> frozenset[Act]:
    layer = owners[-1] if name == "__call__" else name
    if "init" in owners:
        return frozenset({Act.CHANGES, Act.DRAWS})
    if (name.endswith("_") and not name.endswith("__")) or _SETTERS.fullmatch(name):
        return frozenset(
            {Act.CHANGES, Act.DRAWS} if name in ("normal_", "uniform_", "bernoulli_", "random_") else {Act.CHANGES}
        )
    if name == "__call__":
        return frozenset(
            {Act.DRAWS}
            if "Dropout" in layer or layer in ("MultiheadAttention", "RReLU")
            else {Act.CHANGES}
            if "BatchNorm" in layer
            else ()
        )
    if _DRAWS.fullmatch(name) or (owners == ["torch", "nn"] and _DRAWING_LAYERS.fullmatch(name)):
        return frozenset({Act.DRAWS})
    return frozenset({Act.TELLS}) if path.startswith(_TELLING_TORCH) else frozenset()
