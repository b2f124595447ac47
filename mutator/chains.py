"""Widths that are written as plain numbers, `nn.Linear(784, 128)` and later `nn.Linear(128, 10)`: which one layer hands to the next.

Each method of a module is followed statement by statement: what a layer writes goes through activations, norms, dropout and pooling to the
layer that reads it. A width that goes anywhere else (is returned, reshaped, indexed, added to something unknown) is held
to be fixed by that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import descend, dotted, field_of, parts, text_of
from mutator.facts import NONLINEARITIES, is_torch_module
from mutator.groups import NN, Use, layer_of, sizes_of
from mutator.memory import remembered
from mutator.stated import assigned, call_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tree_sitter import Node as SyntaxNode

_ELEMENTWISE = NONLINEARITIES | {
    "hardtanh",
    "square",
    "abs",
    "exp",
    "dropout",
    "contiguous",
    "float",
    "bfloat16",
    "half",
    "layer_norm",
    "clamp",
    "prelu",
}
_POOLS = frozenset(
    [
        "max_pool2d",
        "avg_pool2d",
        "adaptive_avg_pool2d",
        "adaptive_max_pool2d",
        "max_pool1d",
        "avg_pool1d",
        "interpolate",
        "dropout2d",
    ]
)
ACTIVATIONS = re.compile(r"(\w*ReLU6?|\w*ELU|SiLU|GELU|Mish|Tanh|Sigmoid|Softplus|Softsign|Hardswish|Hardtanh|SELU)")
_QUIET = re.compile(rf"{ACTIVATIONS.pattern}|(Alpha)?Dropout|Identity")
_POOLING = re.compile(r"(Adaptive)?(Max|Avg)Pool\dd|Upsample|Dropout2d|ZeroPad2d|ReflectionPad2d")


class Width(NamedTuple):
    """A width on its way through a method: the place that stated it, and whether it is that of channels, not of the last dimension."""

    place: tuple[str, int]
    channels: bool


@remembered
def chains(graph: CodeGraph) -> Mapping[tuple[str, int], tuple[Node, ...]]:
    """Return the literals that are one width between layers, by the place of each of them; those that anything else fixes are left out."""
    found: dict[tuple[str, int], tuple[Node, ...]] = {}
    literals = {(n.path, n.start): n for n in graph.of_kind(NodeKind.LITERAL)}
    for walk in _walks(graph):
        for places in walk.groups():
            nodes = tuple(literals[place] for place in sorted(places) if place in literals)
            if (
                len(nodes) == len(places) > 1
                and len({graph.text(n) for n in nodes}) == 1
                and not any(graph.frozen(n) for n in nodes)
            ):
                found.update(dict.fromkeys(places, nodes))
    return found


def _walks(graph: CodeGraph) -> Iterator[_Walk]:
    inside = set()
    for owner in graph.of_kind(NodeKind.CLASS):
        if is_torch_module(graph, owner.slot) and b"nn." in graph.files[owner.path].data:
            walk = _Walk(graph, owner.path, _layers(graph, owner))
            inside |= {made.start for made in walk.layers.values()}
            for method in graph.of_kind(NodeKind.FUNCTION):
                if method.scope == owner.slot and method.label != "__init__":
                    walk.method(graph.syntax(method))
            walk.fix_the_rest(graph.text(owner))
            yield walk
    for call in graph.of_kind(NodeKind.CALL):
        if call.label == "Sequential" and call.start not in inside:
            walk = _Walk(graph, call.path, {})
            walk.fix(walk.through(call, None))
            yield walk


def _layers(graph: CodeGraph, owner: Node) -> dict[str, Node]:
    """Return the layers that `self.fc1 = nn.Linear(784, 128)` sets, by attribute."""
    found = {}
    for node in graph.files[owner.path].nodes:
        if node.kind is NodeKind.ATTRIBUTE and node.scope == owner.slot:
            stated = assigned(graph, node.slot)
            call = call_at(graph, owner.path, stated[1]) if stated is not None and stated[1].type == "call" else None
            if call is not None:
                found[node.label] = call
    return found


@dataclass
class _Walk:
    """The widths of one class, or of one Sequential: which are the same, and which are fixed."""

    graph: CodeGraph
    path: str
    layers: Mapping[str, Node]
    same: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    fixed: set[tuple[str, int]] = field(default_factory=set)
    run: set[str] = field(default_factory=set)  # attributes that were called

    # --- which widths are the same

    def root(self, place: tuple[str, int]) -> tuple[str, int]:
        """Return what stands for all places of one width."""
        while self.same.setdefault(place, place) != place:
            place = self.same[place]
        return place

    def join(self, one: Width | None, other: Width | None) -> Width | None:
        """Say that two widths are the same; one that meets an unknown is fixed."""
        if one is None or other is None or one.channels is not other.channels:
            self.fix(one)
            self.fix(other)
            return None
        self.same[self.root(one.place)] = self.root(other.place)
        return one

    def fix(self, width: Width | None) -> Width | None:
        """Say that a width must stay; what follows is unknown."""
        if width is not None:
            self.fixed.add(width.place)
        return None

    def groups(self) -> Iterable[set[tuple[str, int]]]:
        """Return the places that are one width each, the fixed ones left out."""
        found: defaultdict[tuple[str, int], set[tuple[str, int]]] = defaultdict(set)
        for place in self.same:
            found[self.root(place)].add(place)
        fixed = {self.root(place) for place in self.fixed}
        return [places for root, places in found.items() if root not in fixed]

    def fix_the_rest(self, text: str) -> None:
        """Fix the widths of layers that no method calls, or that the class uses in another way than to call or initialise them."""
        for name, call in self.layers.items():
            others = re.findall(rf"self\.{name}\b(?!\(|\.weight\b|\.bias\b|\.reset_parameters\b)", text)
            if name not in self.run or len(others) > 1:
                for inner in descend(self.graph.syntax(call)):
                    self.fixed.add((self.path, inner.start_byte))

    # --- through layers

    def through(self, call: Node, width: Width | None) -> Width | None:
        """Return the width behind a layer, and join the one before it with what the layer reads."""
        layer = layer_of(self.graph, call)
        made = self.graph.callees(call)
        name = made[0].removeprefix(NN) if len(made) == 1 else ""
        if name == "Sequential":
            for part in parts(field_of(self.graph.syntax(call), "arguments")):
                inner = call_at(self.graph, self.path, part) if part.type == "call" else None
                width = self.through(inner, width) if inner is not None else self.fix(width)
            return width
        if layer == "Linear" or layer.startswith("Conv"):
            return self._weights(call, width, channels=layer != "Linear")
        if layer in ("BatchNorm1d", "BatchNorm2d", "LayerNorm", "RMSNorm", "InstanceNorm2d"):
            sizes = [
                Width((self.path, e.start_byte), width.channels)
                for e, _ in sizes_of(self.graph, call)
                if e.type == "integer" and width
            ]
            return self.join(width, sizes[0]) if sizes else self.fix(width)
        if _QUIET.fullmatch(name) or (_POOLING.fullmatch(name) and width is not None and width.channels):
            return width
        return self.fix(width)

    def _weights(self, call: Node, width: Width | None, *, channels: bool) -> Width | None:
        sizes = {use: expression for expression, use in sizes_of(self.graph, call)}
        grouped = "groups" in self.graph.text(call)
        reads, writes = (
            Width((self.path, sizes[use].start_byte), channels)
            if use in sizes and sizes[use].type == "integer" and not grouped
            else None
            for use in (Use.IN, Use.OUT)
        )
        self.join(width, reads)
        if writes is not None:
            self.root(writes.place)
        return writes

    # --- through statements and expressions

    def method(self, function: SyntaxNode) -> None:
        """Follow the widths through a method; what enters it is unknown, what a compound statement touches is fixed."""
        widths: dict[str, Width | None] = {}
        for statement in parts(field_of(function, "body")):
            inner = (
                parts(statement)[0]
                if statement.type in ("expression_statement", "return_statement") and parts(statement)
                else statement
            )
            right = inner.child_by_field_name("right") if inner.type == "assignment" else None
            if statement.type == "expression_statement" and right is not None:
                self._assign(field_of(inner, "left"), self.value(right, widths), widths)
            elif statement.type in ("expression_statement", "return_statement"):
                self.fix(self.value(inner, widths))
            else:
                self._give_up(statement, widths)

    def _assign(self, left: SyntaxNode, width: Width | None, widths: dict[str, Width | None]) -> None:
        if left.type == "identifier":
            widths[text_of(left)] = width
            return
        self.fix(width)
        widths.update({text_of(n): None for n in descend(left) if n.type == "identifier"})

    def _give_up(self, syntax: SyntaxNode, widths: dict[str, Width | None]) -> None:
        """Fix all that is mentioned somewhere: names, and the layers that are called."""
        for node in descend(syntax):
            if node.type == "identifier":
                self.fix(widths.get(text_of(node)))
                widths[text_of(node)] = None
            layer = self._layer(node)
            if layer is not None:
                self.fix(self.through(layer, None))

    def _layer(self, syntax: SyntaxNode) -> Node | None:
        """Return the layer that a call such as `self.fc1(x)` runs."""
        name = dotted(field_of(syntax, "function")) if syntax.type == "call" else ""
        attribute = name.removeprefix("self.")
        if not name.startswith("self.") or attribute not in self.layers:
            return None
        self.run.add(attribute)
        return self.layers[attribute]

    def value(self, syntax: SyntaxNode, widths: dict[str, Width | None]) -> Width | None:
        """Return the width of an expression; None when it is not known, and then all that went in is fixed."""
        if syntax.type == "identifier":
            return widths.get(text_of(syntax))
        if syntax.type == "parenthesized_expression":
            return self.value(parts(syntax)[0], widths)
        if syntax.type == "binary_operator":
            return self._binary(syntax, widths)
        if syntax.type == "call":
            return self._call(syntax, widths)
        for part in parts(syntax):
            self.fix(self.value(part, widths))
        return None

    def _binary(self, syntax: SyntaxNode, widths: dict[str, Width | None]) -> Width | None:
        sides = [field_of(syntax, "left"), field_of(syntax, "right")]
        numbers = [side for side in sides if side.type in ("integer", "float")]
        found = [self.value(side, widths) for side in sides if side not in numbers]
        if text_of(field_of(syntax, "operator")) not in ("+", "-", "*", "/", "**"):
            for width in found:
                self.fix(width)
            return None
        return found[0] if len(found) == 1 else self.join(found[0], found[1]) if found else None

    def _call(self, syntax: SyntaxNode, widths: dict[str, Width | None]) -> Width | None:
        given = parts(field_of(syntax, "arguments"))
        function = field_of(syntax, "function")
        layer, name = self._layer(syntax), dotted(function).rpartition(".")[2] or text_of(function).rpartition(".")[2]
        node = call_at(self.graph, self.path, syntax)
        torch = node is not None and any(slot.startswith("torch.") for slot in self.graph.callees(node))
        if layer is not None and len(given) == 1:
            return self.through(layer, self.value(given[0], widths))
        if torch and given and (name in _ELEMENTWISE or name in _POOLS):
            width = self.value(given[0], widths)
            return width if name in _ELEMENTWISE or (width is not None and width.channels) else self.fix(width)
        if function.type == "attribute" and name in _ELEMENTWISE and not given:
            return self.value(field_of(function, "object"), widths)
        if layer is not None:
            self.fix(self.through(layer, None))
        for part in (*parts(function), *given):
            self.fix(
                self.value(
                    part.child_by_field_name("value") or part if part.type == "keyword_argument" else part, widths
                )
            )
        return None
