"""wrap-expression: square, limit or clamp what an activation, a residual branch or the head gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import field_of, text_of
from mutator.arithmetic import in_module, purpose_of, returns_tensor, runs_layer
from mutator.callees import spell
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_ACTIVATIONS = re.compile(
    r"^(relu|ReLU|gelu|GELU|silu|SiLU|mish|Mish|elu|ELU|leaky_relu|LeakyReLU|relu6|ReLU6|softplus|Softplus|hardswish|Hardswish|selu|SELU)$"
)
_HEAD = re.compile(r"logit")
_LIMIT = Between(0.5, 100.0, (15.0,))
_SQUARED = re.compile(r"square|pow|\*\*|tanh|clamp|clip|soft_?cap")
_MLP = """import torch
import torch.nn as nn
import torch.nn.functional as F

class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.proj = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x):
        x = self.fc(x)
        x = {}  # what the layer is about
        return self.proj(x)

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp, self.lm_head = MLP(), nn.Linear(8, 9)

    def forward(self, x):
        x = x + {}
        logits = {}
        return logits
"""
_BRANCH, _LOGITS = "self.mlp(x)", "self.lm_head(x)"


class WrapExpression(EditKind):
    """Square an activation, or limit a residual branch or the logits: softly by `c * tanh(e / c)`, hard by a clamp to [-c, c].

    Why: ReLU^2 is worth -0.05 bits per byte on a small language model (Primer, arXiv:2109.08668); a soft limit on logits is in Gemma 2,
    modded-nanogpt and nanochat. The shape stays. Any limit between the ends is accepted.
    Not offered: what is squared or limited already, normed outputs, losses, and calls that do not surely give one float tensor.
    """

    name = "wrap-expression"
    family = Family.DELETE
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _MLP.format("F.relu(x)", _BRANCH, _LOGITS)},
            "wrap-expression@a:MLP.forward/call.relu?limit=15.0&to=square",
            {"a.py": _MLP.format("F.relu(x).square()", _BRANCH, _LOGITS)},
        ),
        Example(
            {"a.py": _MLP.format("F.gelu(x)", _BRANCH, _LOGITS)},
            "wrap-expression@a:Block.forward/call.lm_head?limit=15.0&to=tanh",
            {"a.py": _MLP.format("F.gelu(x)", _BRANCH, "15.0 * torch.tanh(self.lm_head(x) / 15.0)")},
        ),
        Example(
            {"a.py": _MLP.format("F.gelu(x)", _BRANCH, _LOGITS)},
            "wrap-expression@a:Block.forward/call.mlp?limit=15.0&to=clamp",
            {"a.py": _MLP.format("F.gelu(x)", "self.mlp(x).clamp(-15.0, 15.0)", _LOGITS)},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _MLP.format("F.relu(x).square()", _BRANCH, _LOGITS)},
            "wrap-expression@a:MLP.forward/call.relu?limit=15.0&to=square",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _MLP.format("F.relu(x)", _BRANCH, _LOGITS)},
            "wrap-expression@a:MLP.forward/call.fc?limit=15.0&to=square",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _MLP.format("F.relu(x)", _BRANCH, _LOGITS)},
            "wrap-expression@a:Block.forward/call.mlp?limit=15.0&to=square",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": _MLP.format("F.relu(x)", "opaque(x)", _LOGITS)},
            "wrap-expression@a:Block.forward/call.opaque?limit=15.0&to=tanh",
            Reason.UNKNOWN_VALUE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """A square for activations; limits for residual branches and logits."""
        if site.role not in ("value", "operand", "statement", "element") or not in_module(graph, site):
            return Reason.NO_SITE
        outer = graph.syntax(site).parent
        if outer is None or outer.type not in ("assignment", "binary_operator", "return_statement", "attribute"):
            return Reason.NO_SITE
        activation = bool(_ACTIVATIONS.search(runs_layer(graph, site)))
        if not (activation or _is_branch(graph, site) or _is_logits(graph, site)):
            return Reason.NO_SITE
        if outer.type == "attribute" or _limited(graph, site):
            return Reason.ALREADY
        reason = purpose_of(graph, site)
        if reason is not None or not returns_tensor(graph, site):
            return reason or Reason.UNKNOWN_VALUE
        return choose(to=["square"], limit=_LIMIT) if activation else choose(to=["tanh", "clamp"], limit=_LIMIT)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the expression inside the operation."""
        old, limit = graph.text(site), repr(float(choice["limit"]))
        if choice["to"] == "square":
            return (ReplaceExpr(site, f"{old}.square()"),)
        if choice["to"] == "clamp":
            return (ReplaceExpr(site, f"{old}.clamp(-{limit}, {limit})"),)
        tanh, imports = spell(graph, site, "torch.tanh")
        return (ReplaceExpr(site, f"{limit} * {tanh}({old} / {limit})"), *imports)


def _is_branch(graph: CodeGraph, site: Node) -> bool:
    """Whether a call is what a residual connection adds: the right operand of a sum."""
    syntax = graph.syntax(site)
    outer = syntax.parent
    if (
        outer is None
        or outer.type != "binary_operator"
        or text_of(field_of(outer, "operator")) != "+"
        or field_of(outer, "right") != syntax
    ):
        return False
    return site.label not in ("unsqueeze", "view") and any(
        text_of(field_of(outer, "left")) == t for t in _inputs(graph, site)
    )


def _inputs(graph: CodeGraph, site: Node) -> tuple[str, ...]:
    """Return the names that a call's arguments read."""
    return tuple(re.findall(r"[A-Za-z_]\w*", graph.text(site).partition("(")[2]))


def _is_logits(graph: CodeGraph, site: Node) -> bool:
    statement = graph.statement(site)
    return (
        statement is not None
        and site.role == "value"
        and bool(_HEAD.search(statement.label))
        and runs_layer(graph, site) in ("Linear", "linear")
    )


def _limited(graph: CodeGraph, site: Node) -> bool:
    """Whether what a call is bound to is squared or limited by the next that reads it."""
    statement = graph.statement(site)
    if statement is None or site.role != "value":
        return False
    users = [graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.DEF_USE)]
    nested = [
        graph.nodes[slot]
        for user in users
        for slot in graph.targets(user.slot, EdgeKind.DEF_USE)
        if user.label == statement.label
    ]
    return any(_SQUARED.search(graph.text(user)) for user in (*users, *nested))


KIND = WrapExpression()
