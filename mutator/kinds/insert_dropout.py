"""insert-dropout: leave out activations at random while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import parts
from mutator.callees import spell
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.effects import next_statement
from mutator.facts import FUNCTIONAL, calls_in, forward_of_module
from mutator.intents import InsertStmt, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.tensors import (
    NO_VALUE,
    assigned,
    branch_of,
    call_at,
    forwards,
    is_dropout,
    is_embedding,
    is_nonlinear,
    span_text,
    statements_of,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping

_RATES = Between(0.01, 0.6, (0.05, 0.1, 0.2))
_NET = """\
import torch.nn.functional as F
from torch import nn
class MLP(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc, self.proj, self.drop = nn.Linear(n, n), nn.Linear(n, n), nn.Dropout(0.1)
    def forward(self, x):
        h = F.gelu(self.fc(x)){mlp}
        return {out}
class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.tok, self.pos = nn.Embedding(8, n), nn.Embedding(8, n)
        self.ln, self.mlp = nn.LayerNorm(n), MLP(n)
    def forward(self, idx, pos):
        x = self.tok(idx) + self.pos(pos)  # (B, T, C){x}
        {update}
        return x
"""
_PLAIN = {"mlp": "", "out": "self.proj(h)", "x": "", "update": "x = x + self.mlp(self.ln(x))"}
_X, _RESIDUAL = "insert-dropout@a:Net.forward/stmt.x?rate=0.1", "insert-dropout@a:Net.forward/stmt.x.1?rate=0.1"


class InsertDropout(EditKind):
    """Apply dropout to embeddings, behind a nonlinearity, or to the branch of a residual sublayer; in training only.

    Why: it regularises where data is repeated, and costs when every token is seen once. Source: Srivastava et al. 2014 (JMLR 15); Vaswani
    et al. 2017 (arXiv:1706.03762), section 5.4, with 0.1. Functional, guarded by `self.training`, and not offered where nothing puts the
    model into evaluation mode, beside another dropout, or on logits.
    """

    name = "insert-dropout"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(**_PLAIN)},
            _X,
            {"a.py": _NET.format(**_PLAIN | {"x": "\n        x = F.dropout(x, 0.1, training=self.training)"})},
        ),
        Example(
            {"a.py": _NET.format(**_PLAIN)},
            _RESIDUAL,
            {
                "a.py": _NET.format(
                    **_PLAIN | {"update": "x = x + F.dropout(self.mlp(self.ln(x)), 0.1, training=self.training)"}
                )
            },
        ),
        Example(
            {"a.py": _NET.format(**_PLAIN)},
            "insert-dropout@a:MLP.forward/stmt.h?rate=0.2",
            {"a.py": _NET.format(**_PLAIN | {"mlp": "\n        h = F.dropout(h, 0.2, training=self.training)"})},
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(**_PLAIN | {"x": "\n        x = F.dropout(x, 0.5)"})}, _X, Reason.ALREADY),
        Refusal({"a.py": _NET.format(**_PLAIN | {"out": "self.drop(self.proj(h))"})}, _RESIDUAL, Reason.ALREADY),
        Refusal({"a.py": _NET.format(**_PLAIN | {"update": "x = self.ln(x)"})}, _RESIDUAL, Reason.NO_SITE),
        Refusal({"a.py": _NET.format(**_PLAIN)}, "insert-dropout@a:MLP.forward/stmt.return?rate=0.1", Reason.NO_SITE),
        Refusal({"a.py": _NET.format(**_PLAIN) + "def evaluate(model, data):\n    return sum(model(*d).sum() for d in data)\n",
                 "b.py": "import torch\nfrom a import Net, evaluate\nmodel = Net(4)\nwith torch.no_grad():\n    evaluate(model, [])\n"},
                _X, Reason.SHARED),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How much, after embeddings and nonlinearities, and on residual branches."""
        if site.label in NO_VALUE or not forward_of_module(graph, site):
            return Reason.NO_SITE
        branch = branch_of(graph, site)
        if branch is None and not _drops_well(graph, site):
            return Reason.NO_SITE
        following = next_statement(graph, site)
        beside = [site, *([following] if following is not None and following.label == site.label else [])]
        calls = [call for n in beside for call in calls_in(graph, n)]
        if any(is_dropout(graph, call) for call in calls) or (
            branch is not None and _ends_with_dropout(graph, branch.call)
        ):
            return Reason.ALREADY
        return choose(rate=_RATES) if _told(graph) else Reason.SHARED

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Wrap the branch, or drop out in a statement of its own."""
        dropout, imports = spell(graph, site, f"{FUNCTIONAL}.dropout")
        branch = branch_of(graph, site)
        x = span_text(graph, branch.place) if branch is not None else site.label
        text = f"{dropout}({x}, {choice['rate']}, training=self.training)"
        return (*imports, ReplaceExpr(branch.place, text) if branch is not None else InsertStmt(site, f"{x} = {text}"))


def _drops_well(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement gives a name embeddings, or what a nonlinearity makes of the output of a layer."""
    value = assigned(graph, statement)
    sides = parts(value) if value is not None and value.type == "binary_operator" else [value]
    calls = [call for side in sides if (call := call_at(graph, statement, side)) is not None]
    return any(is_embedding(graph, call) or is_nonlinear(graph, call) for call in calls)


def _ends_with_dropout(graph: CodeGraph, call: Node) -> bool:
    """Whether one of the last two statements of what a sublayer runs drops out."""
    last = [n for f in forwards(graph, call) for n in statements_of(graph, f)[-2:]]
    inside = any(is_dropout(graph, c) for n in last for c in calls_in(graph, n))
    return inside or any(
        "drop" in graph.text(n) for s in graph.callees(call) if (n := graph.nodes[s]).kind is NodeKind.LAMBDA
    )


def _told(graph: CodeGraph) -> bool:
    """Whether the model learns when it is evaluated; a repository that evaluates nothing counts."""
    if any(n.label in ("eval", "train") and n.kind is NodeKind.CALL for n in graph.nodes.values() if n.path):
        return True
    quiet = any(slot in graph.nodes for slot in ("torch.no_grad", "torch.inference_mode"))
    return not quiet and not ("role:evaluation" in graph.nodes and graph.sources("role:evaluation", EdgeKind.PLAYS))


KIND = InsertDropout()
