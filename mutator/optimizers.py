"""What the code around an optimizer asks of it: the keys of its parameter groups, its schedulers, and what `**` passes to it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from graph.arguments import Argument, read_call
from graph.model import Node, NodeKind
from graph.syntax import BindingKind

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph

OPTIMIZER = "torch.optim.Optimizer"
_DISTRIBUTED = re.compile(r"\b(dist|distributed)\.|all_reduce|reduce_scatter|all_gather")
_OPTIONS = "betas|momentum|eps|alpha|rho|nesterov|dampening|amsgrad|fused|centered"
_ASKED = re.compile(
    rb"\bg\w*\[\s*['\"](%s)['\"]\s*\]|defaults\[\s*['\"](%s)['\"]" % (_OPTIONS.encode(), _OPTIONS.encode())
)
_DICTIONARY = re.compile(r"\bdict\((?:[^()]|\([^()]*\))*\)|\{[^{}]*\}")
_GROUPED = re.compile(rf"\b({_OPTIONS})\b['\"]?\s*[=:]")
_SETS_LR = re.compile(rb"\w\[\s*['\"]lr['\"]\s*\]\s*=\s*([^=\n][^\n]*)")
_QUOTED_LR = re.compile(rb"['\"](initial_|base_|init_|my_)?lr['\"]|base_lr")
_ASKING_METHODS = frozenset({"step", "zero_grad", "state_dict", "load_state_dict", "add_param_group", "__init__"})
_NEED_MOMENTUM = frozenset({"torch.optim.lr_scheduler.OneCycleLR", "torch.optim.lr_scheduler.CyclicLR"})


def makes_optimizer(graph: CodeGraph, call: Node) -> str:
    """Return the class of ours that a call makes an optimizer of from parameter groups alone; empty when it does not.

    Empty as well when other code calls methods that no optimizer of torch has, or when its own step talks to other processes.
    """
    callees = graph.callees(call)
    made = [graph.nodes[slot] for slot in callees if graph.nodes[slot].kind is NodeKind.CLASS]
    if len(made) != 1 or not made[0].path or OPTIMIZER not in graph.external_bases(made[0].slot):
        return ""
    read = read_call(graph, call)
    if len(read.arguments) != 1 or read.arguments[0].name:
        return ""
    lonely = not _DISTRIBUTED.search(graph.text(made[0]))  # else its step is what keeps the processes together
    return made[0].label if lonely and not _own_methods_called(graph, made[0].slot) else ""


def group_keys(graph: CodeGraph, call: Node) -> tuple[frozenset[str], frozenset[str]]:
    """Return the options that code outside of optimizer classes asks of groups, and those that groups built in this scope bring along.

    A group brings what it states, so only what no group states must be an option of the optimizer itself.
    """
    inside = [n for n in graph.of_kind(NodeKind.CLASS) if n.path and OPTIMIZER in graph.external_bases(n.slot)]
    asked: set[str] = set()
    for path, file in graph.files.items():
        for found in _ASKED.finditer(file.data):
            if not any(n.path == path and n.start <= found.start() < n.end for n in inside):
                asked.add((found[1] or found[2]).decode())
    scope = graph.nodes[call.scope]
    text = graph.snapshot.files[call.path][scope.start : call.end].decode(errors="replace") if scope.path else ""
    grouped = {
        name for written in _DICTIONARY.findall(text) if "params" in written for name in _GROUPED.findall(written)
    }
    return frozenset(asked - grouped if _is_ours(graph, call) else asked), frozenset(grouped)


def needs_momentum(graph: CodeGraph) -> bool:
    """Whether a scheduler cycles the momentum of the optimizer, which then needs one."""
    return any(b"CycleLR" in file.data or b"CyclicLR" in file.data for file in graph.files.values()) and any(
        _NEED_MOMENTUM.intersection(graph.callees(call)) for call in graph.of_kind(NodeKind.CALL) if "LR" in call.label
    )


def sets_lr(graph: CodeGraph) -> bool:
    """Whether code sets the learning rate of groups to what does not depend on the one that the optimizer was built with."""
    return any(
        not _QUOTED_LR.search(found[1]) for file in graph.files.values() for found in _SETS_LR.finditer(file.data)
    )


def splat_keys(graph: CodeGraph, call: Node, argument: Argument) -> frozenset[str] | None:
    """Return the keys that a `**` argument may bring: of a dictionary written there, or of all that its name is bound to.

    None where nobody can tell, as for what `*` brings.
    """
    written = graph.snapshot.files[call.path][argument.start : argument.end].decode()
    if not written.startswith("**"):
        return None
    name = written.removeprefix("**").strip()
    texts = [name]
    if name.isidentifier():
        found = graph.bindings(name, call.scope)
        if not found or any(b.kind is not BindingKind.VALUE or not b.value for b in found):
            return None
        texts = [b.value for b in found]
    keys = [_keys(ast.parse(text.strip(), mode="eval").body) for text in texts]
    return frozenset().union(*(k for k in keys if k is not None)) if None not in keys else None


def _keys(tree: ast.expr) -> frozenset[str] | None:
    match tree:
        case ast.IfExp(body=first, orelse=second):
            left, right = _keys(first), _keys(second)
            return left | right if left is not None and right is not None else None
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=given) if all(k.arg for k in given):
            return frozenset(k.arg for k in given if k.arg)
        case ast.Dict(keys=keys) if all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in keys):
            return frozenset(k.value for k in keys if isinstance(k, ast.Constant) and isinstance(k.value, str))
    return None


def _is_ours(graph: CodeGraph, call: Node) -> bool:
    return any(graph.nodes[slot].path for slot in graph.callees(call))


def _own_methods_called(graph: CodeGraph, class_slot: str) -> bool:
    """Whether code outside of the class calls a method of it that torch's optimizers lack."""
    own = {n.slot for n in graph.of_kind(NodeKind.FUNCTION) if n.scope == class_slot}
    foreign = {slot for slot in own if slot.rpartition(".")[2] not in _ASKING_METHODS}
    return any(
        foreign.intersection(graph.callees(call)) for call in graph.of_kind(NodeKind.CALL) if call.scope not in own
    )
