"""Modules: what the `__init__` of a torch module makes, by which expressions it states its sizes, and whether new weights are welcome.

New weights must be initialised, also where modules are made on the meta device, and an optimizer must take them: one that lists its
groups by name, or asserts that every parameter is in one, would not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from graph.arguments import read_call
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import dotted, field_of, parts, text_of
from mutator.callees import reached
from mutator.facts import calls_in
from mutator.intents import InsertStmt, Intent
from mutator.kind import Reason
from mutator.tensors import is_nonlinear

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tree_sitter import Node as SyntaxNode

    from graph.code_graph import CodeGraph

_SIZES = {
    "Linear": ("in_features", "out_features"), "Embedding": ("num_embeddings", "embedding_dim"), "LayerNorm": ("normalized_shape",),
    "RMSNorm": ("normalized_shape",),
}  # fmt: skip
_SETS = re.compile(r"init|\.\w+_\(")  # in place
_HEADERS = frozenset({"if", "for", "while", "with", "assert", "return"})
_OPTIMIZER = "torch.optim.Optimizer"
_META = re.compile(rb"""device\(\s*["']meta|device\s*=\s*["']meta|\.to_empty\(|init_empty_weights|empty_init""")
_PICKY = re.compile(
    r"\bassert\b|\bendswith\b|\bstartswith\b|isinstance\(|\bin (n|name|pn|k|key)\b|\.(?!module\b)\w+\.(named_)?parameters\("
)


class Layer(NamedTuple):
    """A layer that a class holds: `transformer.wte`, the call that makes it, its sort and the expressions of its sizes."""

    path: str
    made: Node
    statement: Node
    sort: str  # Linear, Embedding, or the slot of a class of ours
    sizes: tuple[str, ...]


def layers_of(graph: CodeGraph, class_slot: str) -> Mapping[str, Layer]:
    """Return the layers that the `__init__` of a class makes and holds, by path; those that a condition makes are left out."""
    found: dict[str, Layer] = {}
    init = init_of(graph, class_slot)
    if init is None:
        return found
    nodes = [n for n in graph.files[init.path].nodes if n.scope == init.slot]
    calls = {(n.start, n.end): n for n in nodes if n.kind is NodeKind.CALL}
    for statement in nodes:
        if statement.kind is not NodeKind.STATEMENT or graph.parent(statement) != init:
            continue
        for left, value in _assignments(graph, statement):
            name = dotted(left)
            for path, made in _made(value, name.removeprefix("self.")) if name.startswith("self.") else ():
                layer = _layer(graph, path, calls.get((made.start_byte, made.end_byte)), statement)
                if layer is not None:
                    found[path] = layer
    return found


def init_of(graph: CodeGraph, class_slot: str) -> Node | None:
    """Return the `__init__` that a class itself has."""
    found = (graph.nodes[s] for s in graph.targets(class_slot, EdgeKind.DEFINES))
    return next((n for n in found if n.label == "__init__" and n.kind is NodeKind.FUNCTION), None)


def layer_called(graph: CodeGraph, call: Node) -> Layer | None:
    """Return the layer that `self.path(...)` calls in a method of its class."""
    function = read_call(graph, call).function
    owner = graph.nodes.get(graph.nodes[call.scope].scope)
    if owner is None or owner.kind is not NodeKind.CLASS or not function.startswith("self."):
        return None
    return layers_of(graph, owner.slot).get(function.removeprefix("self."))


def same_size(graph: CodeGraph, class_slot: str, one: str, other: str) -> bool:
    """Whether two expressions in the `__init__` of a class are one size, as they are written or through `self.n = n`."""
    return _plain(graph, class_slot, one) == _plain(graph, class_slot, other)


def heads_of(graph: CodeGraph, forward: Node) -> tuple[Node, ...]:
    """Return the calls of a `forward` that give the logits of a language model: of the linear layer from the width to the vocabulary."""
    layers = layers_of(graph, forward.scope)
    embeddings = [layer for layer in layers.values() if layer.sort == "Embedding"]
    heads = {
        path
        for path, layer in layers.items()
        if layer.sort == "Linear"
        and any(same_size(graph, forward.scope, layer.sizes[1], e.sizes[0]) for e in embeddings)
    }
    calls = (n for n in graph.files[forward.path].nodes if n.kind is NodeKind.CALL and n.scope == forward.slot)
    return tuple(n for n in calls if heads and read_call(graph, n).function.removeprefix("self.") in heads)


def width_of(graph: CodeGraph, call: Node, hops: int = 2) -> str:
    """Return the expression that names, in the `__init__` of the class around a call, the last size of what a layer gives back.

    It may use the parameters of the `__init__` and `self`; empty when it is not known.
    """
    layer = layer_called(graph, call)
    if layer is None:
        return ""
    if layer.sizes:
        return layer.sizes[-1]
    forward = next(
        (graph.nodes[s] for s in graph.targets(layer.sort, EdgeKind.DEFINES) if graph.nodes[s].label == "forward"), None
    )
    inner = _last_call(graph, forward) if forward is not None and hops else None
    width = width_of(graph, inner, hops - 1) if inner is not None else ""
    return _translated(graph, layer, _plain(graph, layer.sort, width)) if width else ""


def width_in(graph: CodeGraph, call: Node) -> str:
    """Return the expression that names, in the `__init__` of the class around a call, the last size of what a layer takes.

    Only for linear layers, and for modules of ours that chain linear layers, nonlinearities and dropout in one input; else empty.
    """
    layer = layer_called(graph, call)
    if layer is None or layer.sort == "Linear":
        return layer.sizes[0] if layer is not None else ""
    forward = next(
        (graph.nodes[s] for s in graph.targets(layer.sort, EdgeKind.DEFINES) if graph.nodes[s].label == "forward"), None
    )
    if forward is None:
        return ""
    calls = [n for n in graph.files[forward.path].nodes if n.kind is NodeKind.CALL and n.scope == forward.slot]
    linear = [n for n in calls if (inner := layer_called(graph, n)) is not None and inner.sort == "Linear"]
    others = [n for n in calls if n not in linear and not is_nonlinear(graph, n) and "drop" not in n.label.lower()]
    if not linear or others or re.search(r"[\[@]|\bif\b|\bfor\b", graph.text(forward)):
        return ""
    first = min(linear, key=lambda n: n.end)  # the innermost one is called first
    return _translated(graph, layer, _plain(graph, layer.sort, width_in(graph, first)))


def embedding_width(graph: CodeGraph, statement: Node) -> tuple[str, Node | None]:
    """Return the expression that names the width of what a statement looks up, and the statement that makes the embedding; else nothing."""
    layers = [layer for call in calls_in(graph, statement) if (layer := layer_called(graph, call)) is not None]
    found = next((layer for layer in layers if layer.sort == "Embedding"), None)
    return (found.sizes[1], found.statement) if found is not None else ("", None)


def refuses_weights(graph: CodeGraph) -> Reason | None:
    """Say why the sources would not initialise or train a parameter that a module gets on top; None when they would."""
    if any(_META.search(file.data) for file in graph.files.values()):
        return Reason.UNKNOWN_VALUE
    return Reason.SHARED if any(_PICKY.search(text) for text in optimizer_texts(graph)) else None


def named_in_optimizer(graph: CodeGraph, layer: Layer) -> bool:
    """Whether code that gives parameters to optimizers names a layer, so that one beside it would be left out."""
    name = re.compile(rf"\b{re.escape(layer.path.rpartition('.')[2])}\b")
    return any(name.search(text) for text in optimizer_texts(graph))


def initialised_like(graph: CodeGraph, layer: Layer, name: str) -> tuple[Intent, ...] | None:
    """Say how a new layer beside another one, of another name, is initialised where that one is by its name: by copies of those statements.

    Returns: None when modules are made on the meta device and no statement initialises it, or one that does cannot be copied.
    """
    old = layer.path.rpartition(".")[2]
    used = re.compile(rf"(?<=\.){re.escape(old)}(?=\.(weight|bias)\b)")
    raw = used.pattern.encode()
    nodes = (
        n
        for file in graph.files.values()
        if re.search(raw, file.data)
        for n in file.nodes
        if n.kind is NodeKind.STATEMENT
    )
    found = [n for n in nodes if n.label not in _HEADERS and used.search(graph.text(n)) and _SETS.search(graph.text(n))]
    if found and (_several_have(graph, old) or any(graph.frozen(n) or "\n" in graph.text(n) for n in found)):
        return None
    meta = any(_META.search(file.data) for file in graph.files.values())
    return None if meta and not found else tuple(InsertStmt(n, used.sub(name, graph.text(n))) for n in found)


def optimizer_texts(graph: CodeGraph) -> Iterator[str]:
    """Walk the code that gives parameters to optimizers: the functions that make one, or the calls of a module that do."""
    seen: set[str] = set()
    for call in graph.of_kind(NodeKind.CALL):
        if not any(_is_optimizer(graph, slot) for slot in graph.callees(call)):
            continue
        unit = graph.nodes[call.scope]
        if unit.kind is NodeKind.FUNCTION and unit.slot not in seen and "parameters(" in graph.text(unit):
            seen.add(unit.slot)
            yield graph.text(unit)
        elif unit.kind is not NodeKind.FUNCTION:
            yield graph.text(call)


def free_name(graph: CodeGraph, class_slot: str, name: str) -> str:
    """Return a name that no member of a class has: the one given, or with a number behind it."""
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, 99))) if not graph.members(class_slot, n))


def _several_have(graph: CodeGraph, name: str) -> bool:
    """Whether more than one class of ours holds a layer of that name."""
    return (
        sum(
            bool(graph.targets(n.slot, EdgeKind.SUBMODULE))
            for n in graph.of_kind(NodeKind.ATTRIBUTE)
            if n.label == name
        )
        > 1
    )


def _is_optimizer(graph: CodeGraph, slot: str) -> bool:
    ours = graph.nodes[slot].kind is NodeKind.CLASS and _OPTIMIZER in graph.external_bases(slot)
    return ours or (slot.startswith("torch.optim.") and slot.count(".") == 2)


def _assignment(graph: CodeGraph, statement: Node) -> SyntaxNode | None:
    found = graph.files[statement.path].tree.root_node.descendant_for_byte_range(statement.start, statement.end)
    while found is not None and found.type == "expression_statement" and found.named_children:
        found = found.named_children[0]
    return found if found is not None and found.type == "assignment" else None


def _assignments(graph: CodeGraph, statement: Node) -> Iterator[tuple[SyntaxNode, SyntaxNode]]:
    """Walk (target, value) of an assignment, name by name where it gives several values to several names."""
    found = _assignment(graph, statement)
    value = found.child_by_field_name("right") if found is not None else None
    if found is None or value is None:
        return
    left = field_of(found, "left")
    if left.type == "pattern_list" and value.type == "expression_list" and len(parts(left)) == len(parts(value)):
        yield from zip(parts(left), parts(value), strict=True)
    else:
        yield left, value


def _made(value: SyntaxNode, path: str) -> Iterator[tuple[str, SyntaxNode]]:
    """Walk (path, call) of what an expression makes: itself, or the entries of a `ModuleDict`."""
    if value.type != "call":
        return
    name = text_of(field_of(value, "function")).rpartition(".")[2]
    given = parts(field_of(value, "arguments"))
    if name != "ModuleDict":
        yield path, value
        return
    entries = parts(given[0]) if given and given[0].type == "dictionary" else []
    if given and given[0].type == "call" and text_of(field_of(given[0], "function")) == "dict":
        entries = parts(field_of(given[0], "arguments"))
    for entry in entries:
        key = entry.child_by_field_name("key") or entry.child_by_field_name("name")
        inner = entry.child_by_field_name("value")
        if key is not None and inner is not None:
            yield from _made(inner, f"{path}.{text_of(key).strip(chr(34) + chr(39))}")


def _layer(graph: CodeGraph, path: str, made: Node | None, statement: Node) -> Layer | None:
    if made is None:
        return None
    known = {p.removeprefix("torch.nn.") for p in reached(graph, made) if p.startswith("torch.nn.")}
    ours = [s for s in graph.callees(made) if graph.nodes[s].kind is NodeKind.CLASS]
    sort = known.pop() if len(known) == 1 else ""
    if sort in _SIZES:
        read = read_call(graph, made)
        given = {
            name: a.value for name, a in zip(_SIZES[sort], (a for a in read.arguments if not a.name), strict=False)
        }
        sizes = tuple(given.get(name) or (k.value if (k := read.keyword(name)) else "") for name in _SIZES[sort])
        return Layer(path, made, statement, sort, sizes) if all(sizes) and not read.starred else None
    if len(ours) == 1:
        return Layer(path, made, statement, ours[0], ())
    return Layer(path, made, statement, sort, ()) if sort else None


def _plain(graph: CodeGraph, class_slot: str, text: str) -> str:
    """Write an expression of an `__init__` without the attributes and locals that only name another one."""
    init = init_of(graph, class_slot)
    for _ in range(3):
        before = text
        for name in sorted(set(re.findall(r"(?<![\w.])(?:self\.)?[A-Za-z_]\w*(?![\w.(])", text))):
            value = _value(graph, init, name) if init is not None else ""
            if value:
                text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.(])", value, text)
        if text == before:
            break
    return re.sub(r"\s+", "", text)


def _value(graph: CodeGraph, init: Node, name: str) -> str:
    """Return the plain value that an `__init__` gives once to a local name or an attribute; empty when it is none."""
    found = [n for n in graph.files[init.path].nodes if n.kind is NodeKind.STATEMENT and n.scope == init.slot]
    values = [m[1] for n in found if (m := re.fullmatch(rf"{re.escape(name)}\s*=\s*(.+)", graph.text(n)))]
    return (
        values[0]
        if len(values) == 1 and re.fullmatch(r"[\w.]+|[\w.]+ [*] [\w.]+", values[0]) and "self" not in values[0]
        else ""
    )


def _last_call(graph: CodeGraph, forward: Node) -> Node | None:
    """Return the layer that a `forward` gives its result through: behind dropout, and behind what is added to a stream."""
    inside = [n for n in graph.files[forward.path].nodes if n.scope == forward.slot]
    statements = [n for n in inside if n.kind is NodeKind.STATEMENT]
    returns = [n for n in statements if n.label == "return"]
    if len(returns) != 1 or not parts(graph.syntax(returns[0])):
        return None
    value, place = parts(graph.syntax(returns[0]))[0], returns[0].start
    calls = {(n.start, n.end): n for n in inside if n.kind is NodeKind.CALL}
    for _ in range(8):
        if value.type == "identifier":
            writer = max(
                (n for n in statements if n.label == text_of(value) and n.end <= place),
                key=lambda n: n.start,
                default=None,
            )
            assignment = _assignment(graph, writer) if writer is not None else None
            right = assignment.child_by_field_name("right") if assignment is not None else None
            if right is None or writer is None:
                return None
            value, place = right, writer.start
        elif value.type == "binary_operator" and text_of(field_of(value, "operator")) in "+*":
            value = field_of(value, "right")
        elif value.type == "call":
            call = calls.get((value.start_byte, value.end_byte))
            given = parts(field_of(value, "arguments"))
            if call is None or not given or "drop" not in call.label.lower():
                return call
            value = given[0]
        else:
            return None
    return None


def _translated(graph: CodeGraph, layer: Layer, text: str) -> str:
    """Write a size that is stated in the `__init__` of a layer's class as the code that makes the layer would."""
    init = init_of(graph, layer.sort)
    names = set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text))
    if init is None or "self" in names:
        return ""
    slots = [s for s in graph.targets(init.slot, EdgeKind.DEFINES) if graph.nodes[s].kind is NodeKind.PARAMETER]
    parameters = [graph.nodes[s].label for s in slots][1:]
    read = read_call(graph, layer.made)
    given = dict(zip(parameters, (a.value for a in read.arguments if not a.name), strict=False))
    given |= {a.name: a.value for a in read.arguments if a.name}
    if read.starred or not names <= given.keys() or not all(re.fullmatch(r"[\w.]+", given[n]) for n in names):
        return ""
    return re.sub(r"(?<![\w.])[A-Za-z_]\w*", lambda m: given[m[0]], text)
