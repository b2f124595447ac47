"""What an expression computes with: float tensors, floats, whole numbers, or something else.

Read off the operators, the libraries that are called and the values that names were given. What cannot be followed is unknown; a tensor
is only called one where a layer, an operation of torch or a registered parameter made it, so that it can be scaled, squared or clamped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.roles import role_of
from graph.syntax import field_of, parts, text_of
from mutator.callees import reached
from mutator.facts import TORCH_MODULE, places_things
from mutator.kind import Reason
from mutator.number_roles import role_of_name
from mutator.numbers import off_the_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tree_sitter import Node as SyntaxNode


class Sort(StrEnum):
    """What an expression gives."""

    TENSOR = "tensor"  # of floats
    FLOAT = "float"
    WHOLE = "whole"
    OTHER = "other"  # text, a container, a boolean, a path
    UNKNOWN = "unknown"


_HOPS = 5  # names, calls and returns that are followed
_MANY = 8  # callees of one call: a registry, or a name that may be anything
_SEVERAL = re.compile(
    r"^(LSTM|GRU|RNN)(?!\w*Cell)|^LSTMCell|^MultiheadAttention|return_indices"
)  # layers that give a tuple
_FUNCTIONAL = "torch.nn.functional."
_NO_FLOATS = frozenset(
    {
        "one_hot",
        "Flatten",
        "Identity",
        "ModuleList",
        "ModuleDict",
        "LSTM",
        "GRU",
        "RNN",
        "MultiheadAttention",
        "Sequential",
    }
)
_TENSOR_METHODS = frozenset(
    {"abs", "acos", "asin", "atan", "bfloat16", "celu", "clamp", "clamp_max", "clamp_min", "contiguous", "cos", "cosh", "cumprod",
     "cumsum", "div", "double", "einsum", "elu", "erf", "exp", "expm1", "float", "gelu", "half", "layer_norm", "lerp", "lerp_",
     "linspace", "log", "log1p", "log_softmax", "logaddexp", "logsumexp", "matmul", "bmm", "mm", "mean", "mul", "neg", "norm", "ones",
     "ones_like", "outer", "pow", "rand", "rand_like", "randn", "randn_like", "reciprocal", "relu", "relu6", "rms_norm", "rsqrt",
     "selu", "sigmoid", "silu", "sin", "sinh", "softmax", "softplus", "sqrt", "square", "std", "tan", "tanh", "var", "zeros",
     "zeros_like"}
)  # fmt: skip
_KEEPING = frozenset(
    {"to", "view", "reshape", "transpose", "permute", "unsqueeze", "squeeze", "flatten", "expand", "contiguous", "clone", "detach",
     "sum", "amax", "repeat", "mT", "T", "type_as"}
)  # fmt: skip
_FLOATS = re.compile(
    r"^(math\.(?!floor|ceil|gcd|prod|comb|factorial|isnan|isinf|isclose|log_)|builtins\.float$|numpy\.(sqrt|exp|log|cos|sin|tanh))"
)
_PICKS = frozenset({"builtins.min", "builtins.max", "builtins.abs", "builtins.sum"})
_PLACES = re.compile(r"(^|_)(path|dir|root|folder|file|filename|name|url|prefix|str|text|cwd|base_dir)(_|s?$)|Path")
_METRIC = re.compile(r"loss|(^|_)(bpb|ppl|nll|ce)$|perplex|acc(uracy)?$|metric|score$")
_TIME = re.compile(r"(^|_)(dt|t\d|time|elapsed|progress|pct|percent|seconds?|tok(ens)?_per|budget)($|_)|per_sec")
_COUNT = re.compile(
    r"count|^num_|^n_|(^|_)(size|len|length|steps?|epochs?|iters?|idx|index|indices|mask|seed|total|offset|dim|shape|pos|positions?|ids?)$"
)
_COUNTING = frozenset(
    {
        "int",
        "round",
        "range",
        "len",
        "floor",
        "ceil",
        "Linear",
        "Embedding",
        "zeros",
        "ones",
        "empty",
        "view",
        "reshape",
        "arange",
    }
)
_WHOLE_TENSORS = re.compile(r"\b(long|int\d*|uint8|bool)\b")


@dataclass(frozen=True, slots=True)
class _Hops:
    """How many names, calls and returns may still be followed, and what is known of those that were."""

    left: int = _HOPS
    known: dict[tuple[str, str], Sort] = field(default_factory=dict)  # (scope, text)

    def next(self) -> _Hops:
        return _Hops(self.left - 1, self.known)


def sort_of(graph: CodeGraph, node: Node) -> Sort:
    """Return what an operator or a call gives."""
    return _sort(graph, graph.syntax(node), node, _Hops())


def sort_of_syntax(graph: CodeGraph, syntax: SyntaxNode, near: Node) -> Sort:
    """Return what a part of an expression gives; `near` is a node of its statement."""
    return _sort(graph, syntax, near, _Hops())


def operands(syntax: SyntaxNode) -> tuple[SyntaxNode, SyntaxNode]:
    """Return the operands of a binary operator."""
    return field_of(syntax, "left"), field_of(syntax, "right")


def purpose_of(graph: CodeGraph, node: Node) -> Reason | None:
    """Say why what an expression is bound to must not change: a loss that may be the metric, a time, a count; None where it may."""
    name, statement = role_of(graph.syntax(node))[1].lower(), graph.statement(node)
    bound = statement.label.lower() if statement is not None else ""
    if _METRIC.search(name) or _METRIC.search(bound):
        return Reason.CONTRACT
    if _TIME.search(name) or _TIME.search(bound):
        return Reason.PROTECTED
    if statement is not None and "@" in graph.text(statement) and not in_module(graph, node):
        return (
            Reason.NO_QUANTITY
        )  # an iteration on matrices, such as Newton-Schulz, converges for fitted coefficients alone
    returned = node.role == "statement" and name == "return"
    if _COUNT.search(name) or (places_things(graph, node) and not returned) or _inside(graph, node, _COUNTING):
        return Reason.NO_QUANTITY
    if statement is not None and _asserted(graph, statement):
        return Reason.ASSERTION
    return off_the_path(graph, node)


def _asserted(graph: CodeGraph, statement: Node) -> bool:
    """Whether an assert reads what a statement binds."""
    users = graph.targets(statement.slot, EdgeKind.DEF_USE)
    return any(graph.nodes[slot].label == "assert" for slot in users)


def _inside(graph: CodeGraph, node: Node, labels: frozenset[str]) -> bool:
    outer = graph.parent(node)
    return outer is not None and outer.kind is NodeKind.CALL and outer.label in labels


def _sort(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    match syntax.type:
        case "integer":
            return Sort.WHOLE
        case "float":
            return Sort.FLOAT
        case "none":
            return Sort.UNKNOWN  # a name may be without its value for a while
        case "parenthesized_expression" if parts(syntax):
            return _sort(graph, parts(syntax)[0], near, hops)
        case "unary_operator":
            return _sort(graph, field_of(syntax, "argument"), near, hops)
        case "binary_operator":
            return _binary(graph, syntax, near, hops)
        case "conditional_expression":
            branches = parts(syntax)
            return _either(_sort(graph, b, near, hops) for b in (branches[0], branches[-1]))
        case "call" | "identifier" | "attribute":
            return _followed(graph, syntax, near, hops)
        case "subscript":
            return _subscript(graph, syntax, near, hops)
    return Sort.OTHER


def _followed(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    """Follow a call or a name once; what leads back to itself is unknown on the way."""
    key = (near.scope, text_of(syntax))
    if key not in hops.known:
        if not hops.left:
            return Sort.UNKNOWN
        hops.known[key] = Sort.UNKNOWN
        read = {"call": _call, "identifier": _named, "attribute": _attribute}[syntax.type]
        hops.known[key] = read(graph, syntax, near, hops)
    return hops.known[key]


def _binary(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    operator = text_of(field_of(syntax, "operator"))
    left, right = (_sort(graph, part, near, hops) for part in operands(syntax))
    if Sort.OTHER in (left, right):
        return Sort.OTHER
    if Sort.TENSOR in (left, right):
        return Sort.TENSOR
    if operator == "@":
        return Sort.TENSOR
    if operator in ("//", "%"):
        return Sort.FLOAT if Sort.FLOAT in (left, right) else Sort.WHOLE
    if operator == "/":
        return Sort.OTHER if any(_PLACES.search(text_of(part)) for part in operands(syntax)) else Sort.FLOAT
    if operator == "**":
        exponent = text_of(operands(syntax)[1])
        return Sort.FLOAT if left is Sort.FLOAT or right is Sort.FLOAT or exponent.startswith("-") else left
    if operator in ("+", "-", "*"):
        return (
            Sort.FLOAT if Sort.FLOAT in (left, right) else Sort.UNKNOWN if Sort.UNKNOWN in (left, right) else Sort.WHOLE
        )
    return Sort.OTHER


def _either(found: Iterable[Sort]) -> Sort:
    sorts = set(found) - {Sort.UNKNOWN}
    if sorts == {Sort.FLOAT, Sort.WHOLE}:
        return Sort.FLOAT
    return sorts.pop() if len(sorts) == 1 else Sort.OTHER if Sort.OTHER in sorts else Sort.UNKNOWN


# --- names --------------------------------------------------------------------------------------------------------------------------------


def _named(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    """Follow a name to the statements that bind it, as seen from a statement."""
    name, found = text_of(syntax), []
    for bound in graph.bindings(name, near.scope):
        node = graph.nodes[bound.slot]
        if node.kind is NodeKind.PARAMETER:
            found.append(_parameter(graph, node, hops))
        elif node.kind is NodeKind.VARIABLE:
            found += [
                _written(graph, graph.nodes[slot], name, hops) for slot in graph.sources(node.slot, EdgeKind.WRITES)
            ]
        elif node.kind is NodeKind.IMPORT:
            found += [_imported(graph, slot, hops) for slot in graph.targets(node.slot, EdgeKind.IMPORTS)]
    return _either(found) if found else Sort.UNKNOWN


def _parameter(graph: CodeGraph, node: Node, hops: _Hops) -> Sort:
    default = graph.syntax(node).child_by_field_name("value")
    if default is not None and default.type != "none":
        return _sort(graph, default, node, hops.next())
    annotation = graph.syntax(node).child_by_field_name("type")
    if annotation is not None:
        return {"float": Sort.FLOAT, "int": Sort.WHOLE, "str": Sort.OTHER, "bool": Sort.OTHER}.get(
            text_of(annotation), Sort.UNKNOWN
        )
    return Sort.FLOAT if _is_rate(node.label) else _given(graph, node, hops)


def _given(graph: CodeGraph, node: Node, hops: _Hops) -> Sort:
    """Return what the calls of a function give a parameter without a default."""
    function = graph.nodes[node.scope]
    if function.kind is not NodeKind.FUNCTION or hops.left <= 1:
        return Sort.UNKNOWN
    names = [
        graph.nodes[s].label
        for s in graph.targets(function.slot, EdgeKind.DEFINES)
        if graph.nodes[s].kind is NodeKind.PARAMETER
    ]
    place = names.index(node.label) - (names[:1] == ["self"]) if node.label in names else -1
    found = []
    for slot in graph.sources(node.slot, EdgeKind.ARGUMENT)[:4]:
        call = graph.nodes[slot]
        if call.kind is NodeKind.CALL and place >= 0:
            given = parts(field_of(graph.syntax(call), "arguments"))
            named = (
                field_of(a, "value")
                for a in given
                if a.type == "keyword_argument" and text_of(field_of(a, "name")) == node.label
            )
            plain = given[place] if place < len(given) and given[place].type != "keyword_argument" else None
            value = next(named, plain)
            if value is not None:
                found.append(_sort(graph, value, call, hops.next()))
    return _either(found) if found else Sort.UNKNOWN


def _written(graph: CodeGraph, statement: Node, name: str, hops: _Hops) -> Sort:
    """Return what a statement gives a name; a part of an unpacked tuple only where the parts stand side by side."""
    if statement.kind is not NodeKind.STATEMENT:
        return Sort.UNKNOWN
    syntax = (
        graph.syntax(statement) if not graph.text(statement).startswith(("for ", "with ", "if ", "while ")) else None
    )
    inner = parts(syntax)[0] if syntax is not None and syntax.type == "expression_statement" else syntax
    if inner is None or inner.type != "assignment" or inner.child_by_field_name("right") is None:
        return Sort.UNKNOWN
    left, right = field_of(inner, "left"), field_of(inner, "right")
    if left.type in ("identifier", "attribute"):
        return _sort(graph, right, statement, hops.next())
    targets, values = parts(left), parts(right)
    place = next((i for i, target in enumerate(targets) if text_of(target) == name), None)
    aligned = place is not None and right.type in ("expression_list", "tuple") and len(targets) == len(values)
    return _sort(graph, values[place], statement, hops.next()) if aligned and place is not None else Sort.UNKNOWN


def _imported(graph: CodeGraph, slot: str, hops: _Hops) -> Sort:
    node = graph.nodes[slot]
    if node.kind is not NodeKind.VARIABLE:
        return Sort.OTHER
    return _either(_written(graph, graph.nodes[s], node.label, hops) for s in graph.sources(slot, EdgeKind.WRITES))


def _attribute(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    """Follow an attribute that the statement reads: to a registered parameter, a field's default, or what a method sets."""
    name, statement = text_of(field_of(syntax, "attribute")), graph.statement(near)
    if name in ("T", "mT"):
        return _sort(graph, field_of(syntax, "object"), near, hops)
    slots = graph.targets(statement.slot, EdgeKind.READS) if statement is not None else ()
    found = []
    for slot in slots:
        node = graph.nodes[slot]
        if node.kind is NodeKind.ATTRIBUTE and node.label == name:
            writers = [graph.nodes[s] for s in graph.sources(slot, EdgeKind.WRITES)]
            found += [_written(graph, w, name, hops) for w in writers]
            if graph.targets(slot, EdgeKind.REGISTERS) or graph.sources(slot, EdgeKind.REGISTERS):
                return Sort.TENSOR
    return _either(found) if found else Sort.FLOAT if _is_rate(name) else Sort.UNKNOWN


def _subscript(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    index = text_of(field_of(syntax, "subscript"))
    if index[:1] in "\"'":
        return Sort.FLOAT if _is_rate(index.strip("\"'")) else Sort.UNKNOWN
    whole = _sort(graph, field_of(syntax, "value"), near, hops)
    return whole if whole is Sort.TENSOR else Sort.UNKNOWN


def _is_rate(name: str) -> bool:
    return role_of_name(name.lower()) in (
        "learning rate",
        "weight decay",
        "beta1",
        "beta2",
        "epsilon",
    ) or name.endswith("_lr_scale")


# --- calls --------------------------------------------------------------------------------------------------------------------------------


def _call(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    node = _node_at(graph, syntax, near)
    runs = graph.callees(node) if node is not None else ()
    if node is None or not runs:
        return _method(graph, syntax, near, hops)
    if len(runs) > _MANY:
        return Sort.UNKNOWN
    found = set()
    for path in runs:
        ours = graph.nodes.get(path)
        if ours is not None and ours.path:
            found.add(_ours(graph, ours, hops) if ours.kind is NodeKind.FUNCTION else Sort.OTHER)
        else:
            found.add(_external(graph, path, syntax, near, hops))
    return _either(found)


def _method(graph: CodeGraph, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    """Read a method of a tensor whose receiver the graph cannot type."""
    function = field_of(syntax, "function")
    if function.type != "attribute" or text_of(field_of(function, "attribute")) not in _TENSOR_METHODS | _KEEPING:
        return Sort.UNKNOWN
    return _sort(graph, field_of(function, "object"), near, hops.next())


def _external(graph: CodeGraph, path: str, syntax: SyntaxNode, near: Node, hops: _Hops) -> Sort:
    owner, _, name = path.rpartition(".")
    if path in _PICKS:
        given = [part for part in parts(field_of(syntax, "arguments")) if part.type != "keyword_argument"]
        return _either(_sort(graph, part, near, hops.next()) for part in given) if given else Sort.UNKNOWN
    if _FLOATS.search(path):
        return Sort.FLOAT
    if path.startswith("builtins.") or not path.startswith("torch."):
        return (
            Sort.WHOLE
            if name in ("int", "len", "round")
            else Sort.OTHER
            if path.startswith("builtins.")
            else Sort.UNKNOWN
        )
    if name == "__call__":
        layer = owner.rpartition(".")[2]
        return Sort.UNKNOWN if layer in _NO_FLOATS or _SEVERAL.search(layer) else Sort.TENSOR
    if path.startswith(_FUNCTIONAL):
        return Sort.UNKNOWN if name in _NO_FLOATS else Sort.TENSOR
    if name in _KEEPING and owner in ("torch.Tensor", "torch.nn.Parameter"):
        function = field_of(syntax, "function")
        inner = (
            _sort(graph, field_of(function, "object"), near, hops.next())
            if function.type == "attribute"
            else Sort.UNKNOWN
        )
        return Sort.TENSOR if owner == "torch.nn.Parameter" else inner
    known = name in _TENSOR_METHODS and owner in ("torch", "torch.Tensor", "torch.nn.Parameter")
    return Sort.TENSOR if known and not _WHOLE_TENSORS.search(text_of(syntax)) else Sort.UNKNOWN


def _ours(graph: CodeGraph, function: Node, hops: _Hops) -> Sort:
    """Read what a function of ours returns: the one sort of all its returns."""
    key = (function.slot, "")
    if key not in hops.known:
        if hops.left <= 1:
            return Sort.UNKNOWN
        hops.known[key] = Sort.UNKNOWN
        hops.known[key] = _returned(graph, function, hops)
    return hops.known[key]


def _returned(graph: CodeGraph, function: Node, hops: _Hops) -> Sort:
    returns = list(returns_of(graph, function))
    values = [parts(graph.syntax(node)) for node in returns]
    if not returns or not all(values):
        return Sort.OTHER
    return _either(_sort(graph, value[0], node, hops.next()) for value, node in zip(values, returns, strict=True))


def returns_of(graph: CodeGraph, function: Node) -> Iterator[Node]:
    """Walk the return statements of a function, those of functions inside it left out."""
    pending = list(graph.targets(function.slot, EdgeKind.CONTAINS))
    while pending:
        node = graph.nodes[pending.pop()]
        if node.kind is NodeKind.STATEMENT:
            if node.label == "return":
                yield node
            pending += graph.targets(node.slot, EdgeKind.CONTAINS)


def _node_at(graph: CodeGraph, syntax: SyntaxNode, near: Node) -> Node | None:
    """Return the call node of a piece of syntax, among those that stand in the same statement or function."""
    if (near.start, near.end) == (syntax.start_byte, syntax.end_byte) and near.kind is NodeKind.CALL:
        return near
    around = graph.statement(near) or near
    pending = [around.slot]
    while pending:
        for slot in graph.targets(pending.pop(), EdgeKind.CONTAINS):
            node = graph.nodes[slot]
            if node.kind is NodeKind.CALL and (node.start, node.end) == (syntax.start_byte, syntax.end_byte):
                return node
            if (
                node.kind in (NodeKind.CALL, NodeKind.OPERATOR, NodeKind.LAMBDA)
                and node.start <= syntax.start_byte < node.end
            ):
                pending.append(slot)
    return None


def returns_tensor(graph: CodeGraph, call: Node) -> bool:
    """Whether a call surely gives one float tensor: a layer, an operation of torch, or a module of ours whose forward ends in one."""
    return sort_of(graph, call) is Sort.TENSOR


def runs_layer(graph: CodeGraph, call: Node) -> str:
    """Return the class name of the one layer of torch that a call runs, through subclasses and wrappers; empty for anything else."""
    runs = reached(graph, call)
    path = runs[0] if len(runs) == 1 else ""
    return path.removesuffix(".__call__").rpartition(".")[2] if path.startswith("torch.nn.") else ""


def in_module(graph: CodeGraph, node: Node) -> bool:
    """Whether a node stands in a method of a torch module."""
    owners = (n for n in graph.ancestors(node) if n.kind is NodeKind.CLASS)
    return any(TORCH_MODULE in graph.external_bases(owner.slot) for owner in owners)
