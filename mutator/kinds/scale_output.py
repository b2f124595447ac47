"""scale-output: multiply what a layer, a module or an operation gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.arithmetic import in_module, purpose_of, returns_tensor, runs_layer
from mutator.callees import reached
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_FACTORS = Between(0.01, 100.0, (0.5, 0.7, 1.4, 2.0))
_RESHAPING = re.compile(
    r"^(view|reshape|transpose|permute|contiguous|unsqueeze|squeeze|flatten|expand|to|float|bfloat16|half|type_as|clone|detach|softmax|log_softmax"
    r"|masked_fill|repeat|repeat_interleave|cos|sin|outer|arange|zeros\w*|ones\w*|empty\w*|rand\w*|pad|cat|stack|split|chunk|dropout|lerp_?|linspace)$"
)
_PROBABILITY = re.compile(r"sigmoid|softmax", re.IGNORECASE)
_INVARIANT = frozenset(
    {"rms_norm", "layer_norm", "RMSNorm", "LayerNorm", "BatchNorm1d", "BatchNorm2d", "GroupNorm", "normalize"}
)
_BLOCK = """import torch.nn as nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln, self.mlp = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x):
        x = x + {}self.mlp(self.ln(x))
        return x
"""
_MODEL = """import torch
import torch.nn as nn
import torch.nn.functional as F

def norm(x):
    return F.rms_norm(x, (x.size(-1),))

class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.lm_head = nn.Embedding(9, 8), nn.Linear(8, 9)

    def forward(self, idx):
        x = {}
        q, k = {}, norm(x)
        logits = {}self.lm_head(x * k + q)
        return logits.float()
"""


class ScaleOutput(EditKind):
    """Multiply the output of a layer, a module of ours or an elementwise operation: embeddings, residual branches, logits, queries.

    Why: an embedding scale is worth -0.10, residual scales -0.04 bits per byte on a small language model; nanochat scales its normed
    queries and keys. Source: Gemma's sqrt(n_embd) embeddings, muP (arXiv:2203.03466), nanochat.
    Not offered: tensors that are reshaped, masked or dropped out, what a norm takes next (its scale is lost there), outputs that are
    scaled already, probabilities, losses, and code outside of modules, which may measure.
    """

    name = "scale-output"
    family = Family.OPERATOR
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _BLOCK.format("")},
            "scale-output@a:Block.forward/call.mlp?by=0.5",
            {"a.py": _BLOCK.format("0.5 * ")},
        ),
        Example(
            {"a.py": _MODEL.format("self.wte(idx)", "norm(x)", "")},
            "scale-output@a:GPT.forward/call.lm_head?by=0.7",
            {"a.py": _MODEL.format("self.wte(idx)", "norm(x)", "0.7 * ")},
        ),
        Example(
            {"a.py": _MODEL.format("self.wte(idx)", "norm(x)", "")},
            "scale-output@a:GPT.forward/call.norm?by=1.4",
            {"a.py": _MODEL.format("self.wte(idx)", "1.4 * norm(x)", "")},
        ),
    )
    refusals = (
        Refusal({"a.py": _BLOCK.format("")}, "scale-output@a:Block.forward/call.ln?by=0.5", Reason.NO_SITE),
        Refusal({"a.py": _BLOCK.format("2.0 * ")}, "scale-output@a:Block.forward/call.mlp?by=0.5", Reason.ALREADY),
        Refusal(
            {"a.py": _MODEL.format("norm(self.wte(idx))", "norm(x)", "")}, "scale-output@a:GPT.forward/call.wte?by=0.5", Reason.NO_EFFECT
        ),
        Refusal(
            {"a.py": _MODEL.format("self.wte(idx)", "norm(x)", "").replace("logits.float()", "torch.sigmoid(logits)")},
            "scale-output@a:GPT.forward/call.sigmoid?by=0.5",
            Reason.CONTRACT,
        ),
        Refusal({"a.py": "import torch\ny = torch.exp(x)\n"}, "scale-output@a:/call.exp?by=0.5", Reason.NO_SITE),
        Refusal({"a.py": _BLOCK.format("")}, "scale-output@a:Block.forward/call.mlp?by=1.0", Reason.NO_EFFECT),
        Refusal(
            {"a.py": _BLOCK.format("").replace("x = x + ", "x = opaque(x) + f").replace("return x", "return opaque(x)")},
            "scale-output@a:Block.forward/call.opaque?by=0.5",
            Reason.UNKNOWN_VALUE,
        ),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Factors around one, at every call in a module that gives one float tensor."""
        if _RESHAPING.search(site.label) or not in_module(graph, site) or site.scope.endswith("__init__"):
            return Reason.NO_SITE
        syntax = graph.syntax(site)
        outer = syntax.parent
        if outer is None or outer.type == "argument_list":
            return Reason.NO_EFFECT if outer is not None and _feeds_norm(graph, site) else Reason.NO_SITE
        if outer.type == "binary_operator" and text_of(field_of(outer, "operator")) in ("*", "/", "@", "**"):
            return Reason.ALREADY
        if outer.type not in ("assignment", "expression_list", "binary_operator", "return_statement"):
            return Reason.NO_SITE
        reason = purpose_of(graph, site)
        if reason is not None or not returns_tensor(graph, site):
            return reason or Reason.UNKNOWN_VALUE
        if _gives_probabilities(graph, site):
            return Reason.CONTRACT
        return Reason.NO_EFFECT if _only_normed(graph, site) else choose(by=_FACTORS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the factor in front of the call.

        Raises: Refused: the factor is 1.
        """
        if float(choice["by"]) == 1.0:
            raise Refused(Reason.NO_EFFECT, f"{site.slot}: times 1 is what is there")
        return (ReplaceExpr(site, f"{float(choice['by'])!r} * {graph.text(site)}"),)


def _gives_probabilities(graph: CodeGraph, call: Node) -> bool:
    """Whether a call gives a probability that is returned, or runs a function of ours that returns one: a loss takes it for one."""
    inner = [graph.nodes[slot] for slot in graph.callees(call) if graph.nodes[slot].kind is NodeKind.FUNCTION]
    last = [
        n for function in inner if function.path for n in graph.files[function.path].nodes if n.scope == function.slot
    ]
    returned = (n for n in (call, *last) if n.kind is NodeKind.CALL and _is_returned(graph, n))
    return any(_PROBABILITY.search(path) for n in returned for path in reached(graph, n))


def _is_returned(graph: CodeGraph, call: Node) -> bool:
    statement = graph.statement(call)
    return statement is not None and statement.label == "return"


def _feeds_norm(graph: CodeGraph, site: Node) -> bool:
    """Whether a call is the input of a norm, which takes any scale out again."""
    outer = graph.parent(site)
    return outer is not None and outer.kind is NodeKind.CALL and runs_layer(graph, outer) in _INVARIANT


def _only_normed(graph: CodeGraph, site: Node) -> bool:
    """Whether the name that a call is bound to is read by one norm alone."""
    statement = graph.statement(site)
    if statement is None or site.role != "value":
        return False
    users = [graph.nodes[s] for s in graph.targets(statement.slot, EdgeKind.DEF_USE)]
    if len(users) != 1 or users[0].kind is not NodeKind.STATEMENT:
        return False
    inner = parts(graph.syntax(users[0]))
    value = inner[0].child_by_field_name("right") if inner and inner[0].type == "assignment" else None
    calls = [graph.nodes[s] for s in graph.targets(users[0].slot, EdgeKind.CONTAINS)]
    return value is not None and any(
        n.kind is NodeKind.CALL
        and (n.start, n.end) == (value.start_byte, value.end_byte)
        and runs_layer(graph, n) in _INVARIANT
        for n in calls
    )


KIND = ScaleOutput()
