"""How a module holds its layers: the attribute of a layer, where the sources use it, and in what the layer is called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import dotted, field_of, parts, text_of
from mutator.callees import elementwise_class
from mutator.chains import ACTIVATIONS
from mutator.facts import NONLINEARITIES, block_of, is_torch_module
from mutator.groups import NN
from mutator.stated import call_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node as SyntaxNode

_ELEMENTWISE = NONLINEARITIES | {"hardtanh", "square"}


def attribute_of(graph: CodeGraph, made: Node) -> str:
    """Return the attribute that `self.fc = nn.Linear(...)` sets in a torch module; empty for a layer that is made in any other place."""
    outer, function = graph.syntax(made).parent, graph.nodes[made.scope]
    owner = graph.nodes.get(function.scope)
    if (
        outer is None
        or outer.type != "assignment"
        or owner is None
        or owner.kind is not NodeKind.CLASS
        or not is_torch_module(graph, owner.slot)
    ):
        return ""
    name = dotted(field_of(outer, "left"))
    right = outer.child_by_field_name("right")
    whole = right is not None and (right.start_byte, right.end_byte) == (made.start, made.end)
    return name.removeprefix("self.") if whole and name.count(".") == 1 and name.startswith("self.") else ""


def uses_of_attribute(graph: CodeGraph, name: str) -> Iterator[tuple[str, SyntaxNode]]:
    """Walk where the sources read an attribute of that name of anything: (path, `self.fc`)."""
    word = re.compile(rb"\.\s*%s\b" % name.encode())
    for path, file in graph.files.items():
        for found in word.finditer(file.data):
            syntax = file.tree.root_node.descendant_for_byte_range(found.end() - 1, found.end())
            whole = syntax.parent if syntax is not None and syntax.type == "identifier" else None
            if whole is not None and whole.type == "attribute" and whole.end_byte == found.end():
                yield path, whole


def only_called(graph: CodeGraph, made: Node) -> tuple[SyntaxNode, ...]:
    """Return the calls `self.fc(x)` of a layer, with one argument each; empty when the sources use the attribute in another way as well.

    Attributes of the same name in other classes are other attributes, when they are read from `self` there.
    """
    name = attribute_of(graph, made)
    if not name:
        return ()
    owner = graph.nodes[graph.nodes[made.scope].scope]
    calls: list[SyntaxNode] = []
    for path, syntax in uses_of_attribute(graph, name):
        inside = path == made.path and owner.start <= syntax.start_byte < owner.end
        outer = syntax.parent
        if text_of(field_of(syntax, "object")) == "self" and not inside:
            continue
        if not inside or outer is None:
            return ()
        called = outer.type == "call" and field_of(outer, "function") == syntax
        if (
            called
            and len(parts(field_of(outer, "arguments"))) == 1
            and parts(field_of(outer, "arguments"))[0].type != "list_splat"
        ):
            calls.append(outer)
        elif not (outer.type == "assignment" and field_of(outer, "left") == syntax):
            return ()
    return tuple(calls)


def is_activation(graph: CodeGraph, path: str, syntax: SyntaxNode) -> bool:
    """Whether a call computes each element of its input by itself: `F.relu(x)`, `self.act(x)`, `x.square()`."""
    node = call_at(graph, path, syntax) if syntax.type == "call" else None
    runs = graph.callees(node) if node is not None else ()
    if not runs:
        return (
            syntax.type == "call"
            and not parts(field_of(syntax, "arguments"))
            and text_of(field_of(syntax, "function")).endswith((".square", ".relu"))
        )
    return all(_is_elementwise(graph, slot) for slot in runs)


def makes_activation(graph: CodeGraph, path: str, syntax: SyntaxNode) -> bool:
    """Whether a call makes an activation layer: `nn.ReLU()`."""
    node = call_at(graph, path, syntax) if syntax.type == "call" else None
    runs = graph.callees(node) if node is not None else ()
    return bool(runs) and all(ACTIVATIONS.fullmatch(slot.removeprefix(NN)) is not None for slot in runs)


def _is_elementwise(graph: CodeGraph, slot: str) -> bool:
    node = graph.nodes[slot]
    if node.path:
        return node.label == "forward" and elementwise_class(graph, node.scope)
    if slot.startswith(NN) and slot.endswith(".__call__"):
        return ACTIVATIONS.fullmatch(slot.removeprefix(NN).removesuffix(".__call__")) is not None
    return slot.startswith("torch.") and slot.rpartition(".")[2] in _ELEMENTWISE


def innermost(graph: CodeGraph, path: str, syntax: SyntaxNode) -> SyntaxNode | None:
    """Return what a nest of activations is around: x in `F.relu(x).square()`; None when it holds anything else."""
    while syntax.type == "call":
        function, given = field_of(syntax, "function"), parts(field_of(syntax, "arguments"))
        if not is_activation(graph, path, syntax):
            return syntax
        if given:
            syntax = given[0]
        elif function.type == "attribute":
            syntax = field_of(function, "object")
        else:
            return None
    return syntax


def statement_at(graph: CodeGraph, path: str, start: int) -> Node | None:
    """Return the innermost statement around a place."""
    around = (n for n in graph.files[path].nodes if n.kind is NodeKind.STATEMENT and n.start <= start < n.end)
    return max(around, key=lambda n: n.start, default=None)


def following(graph: CodeGraph, statement: Node) -> Node | None:
    """Return the next statement of the same block."""
    block = block_of(graph, statement)
    place = block.index(statement) + 1
    return block[place] if place < len(block) else None
