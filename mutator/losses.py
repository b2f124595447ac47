"""Losses: which calls compute what is sent backward, and whether the same call also gives a number that somebody reads as the metric."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.model import EdgeKind, Node, NodeKind
from mutator.kind import Reason
from mutator.steps import calls_of, plays

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph

CROSS_ENTROPY = "torch.nn.functional.cross_entropy"
CRITERION = "torch.nn.CrossEntropyLoss"
_NO_GRADIENT = frozenset({"no_grad", "inference_mode"})
_HOPS = 4  # callers that are asked what they do with a loss
_KEEPS_LAST = {
    "view": 2,
    "reshape": 2,
    "flatten": 2,
    "transpose": 2,
    "permute": 3,
}  # and how many arguments it takes to


def training_guard(graph: CodeGraph, call: Node) -> str | Reason:
    """Return the condition under which a call computes a loss that is sent backward: `self.training`, or empty where it always does.

    A module serves the evaluation too, and `eval()` tells it; other code must lead to a backward pass and nowhere else.
    """
    if _quiet(graph, call):
        return Reason.SHARED
    if _in_module(graph, call):
        evaluated = any(plays(graph, graph.nodes[s], "evaluation") for s in graph.sources(call.scope, EdgeKind.CALLS))
        told = not evaluated or any(n.label == "eval" for n in graph.of_kind(NodeKind.CALL))
        return "self.training" if told else Reason.SHARED
    return "" if _trains(graph, call, _HOPS) else Reason.SHARED


def mean_guard(graph: CodeGraph, call: Node) -> str | Reason:
    """Return the condition under which a call gives the mean that is trained on: where the caller says how to reduce, only for means.

    A loss for each token is a log-probability to whoever asks for it.
    """
    guard, reduction = training_guard(graph, call), read_call(graph, call).keyword("reduction")
    if isinstance(guard, Reason) or reduction is None or reduction.value.strip("'\"") == "mean":
        return guard
    if not reduction.value.isidentifier():
        return Reason.SHARED
    return " and ".join(filter(None, (guard, f'{reduction.value} == "mean"')))


def logits_of(graph: CodeGraph, call: Node) -> tuple[str, int] | None:
    """Return the logits that a cross entropy is given, before they are flattened, and the dimension of their classes; None when unclear."""
    arguments = read_call(graph, call).arguments
    given = next((a.value for a in arguments if a.name in ("", "input")), "")
    if not given or any(a.name == "*" for a in arguments):
        return None
    tree = ast.parse(f"({given})", mode="eval").body
    if _is_plain(tree):
        return given, 1
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute) and _is_plain(tree.func.value):
        return (ast.unparse(tree.func.value), -1) if _flattens(tree.func.attr, tree.args) else None
    return None


def criterion_calls(graph: CodeGraph) -> tuple[Node, ...]:
    """Return the calls that apply a `CrossEntropyLoss`."""
    return tuple(graph.nodes[slot] for slot in graph.sources(f"{CRITERION}.__call__", EdgeKind.CALLS))


def sent_backward(graph: CodeGraph, statement: Node) -> bool:
    """Follow the value that a statement binds to a backward pass; an attribute counts when its own function sends it backward."""
    calls = (c for c in calls_of(graph, statement.scope, statement.path) if c.label == "backward")
    sent = {found.slot for call in calls if (found := graph.statement(call))}
    pending, seen = [statement.slot], {statement.slot}
    while pending:
        slot = pending.pop()
        if slot in sent:
            return True
        used = {u for u in graph.targets(slot, EdgeKind.DEF_USE) if u in sent or graph.targets(u, EdgeKind.WRITES)}
        pending += used - seen
        seen |= used
    written = graph.text(statement).partition("=")[0].strip().rpartition(",")[2].strip()
    return "." in written and any(graph.text(graph.nodes[slot]).startswith(f"{written}.") for slot in sent)


def _is_plain(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Name) or (isinstance(tree, ast.Attribute) and _is_plain(tree.value))


def _flattens(method: str, arguments: list[ast.expr]) -> bool:
    """Whether a method leaves the last dimension the classes, or moves it to where a cross entropy wants them."""
    texts = [ast.unparse(argument) for argument in arguments]
    if len(texts) != _KEEPS_LAST.get(method):
        return False
    if method in ("view", "reshape"):
        return texts[0] == "-1"
    wanted = {"flatten": [["0", "1"], ["0", "-2"]], "transpose": [["1", "2"], ["2", "1"], ["1", "-1"], ["-1", "1"]]}
    return texts in wanted.get(method, [["0", "2", "1"]])


def _quiet(graph: CodeGraph, call: Node) -> bool:
    return any(name.rpartition(".")[2] in _NO_GRADIENT for name in graph.targets(call.slot, EdgeKind.UNDER))


def _in_module(graph: CodeGraph, node: Node) -> bool:
    """Whether a node stands in a method of a torch module that takes `self`."""
    function = graph.nodes[node.scope]
    owner = graph.nodes.get(function.scope) if function.kind is NodeKind.FUNCTION else None
    if owner is None or owner.kind is not NodeKind.CLASS or "torch.nn.Module" not in graph.external_bases(owner.slot):
        return False
    parameters = [graph.nodes[slot] for slot in graph.targets(function.slot, EdgeKind.DEFINES)]
    return [p.label for p in parameters if p.kind is NodeKind.PARAMETER][:1] == ["self"]


def _trains(graph: CodeGraph, call: Node, hops: int) -> bool:
    """Whether what a call computes is sent backward, here or by all who call this function for it."""
    statement = graph.statement(call)
    if statement is None or _quiet(graph, call):
        return False
    if statement.label == "return":
        callers = graph.sources(call.scope, EdgeKind.CALLS)
        return bool(hops and callers) and all(_trains(graph, graph.nodes[slot], hops - 1) for slot in callers)
    return sent_backward(graph, statement)
