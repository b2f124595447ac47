"""unwrap-call: put the argument of a call in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import text_of
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import only_reported
from mutator.updates import guards_numbers, keeps_shape, learns, self_update, serves, survives_lost_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

_NET = """\
import torch.nn.functional as F
from torch import nn
def norm(x):
    return F.rms_norm(x, (x.size(-1),))
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.up, self.down = nn.Linear(n, 4 * n), nn.Linear(4 * n, n)
        self.norm = nn.LayerNorm(n)
    def forward(self, x):
        h = self.up({pre})
        return x + self.down({act})
"""


class UnwrapCall(EditKind):
    """Replace f(x) by x where the shape stays: an activation, a normalisation, dropout, a clamp, a wrapper of ours around one, a sublayer.

    Why: pre-norm, QK-norm, dropout and saturations are what ablations take out first. Only callees that are followed to such a function;
    a module of ours when its `forward` gives back the shape of its input on every path. Not offered: casts, softmax (which may hold a
    mask), rectifiers of a divisor, code that evaluates or samples, and the layer's weights where an optimizer of ours cannot do without
    their gradient. A whole statement that updates a name is deleted instead.
    """

    name = "unwrap-call"
    family = Family.DELETE
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _NET.format(pre="norm(x)", act="F.gelu(h)")},
            "unwrap-call@a:Block.forward/call.norm",
            {"a.py": _NET.format(pre="x", act="F.gelu(h)")},
        ),
        Example(
            {"a.py": _NET.format(pre="norm(x)", act="F.gelu(h)")},
            "unwrap-call@a:Block.forward/call.gelu",
            {"a.py": _NET.format(pre="norm(x)", act="h")},
        ),
        Example(
            {"a.py": _NET.format(pre="self.norm(x)", act="h.relu().square()")},
            "unwrap-call@a:Block.forward/call.norm",
            {"a.py": _NET.format(pre="x", act="h.relu().square()")},
        ),
        Example(
            {"a.py": _NET.format(pre="x", act="h.relu().square()")},
            "unwrap-call@a:Block.forward/call.square",
            {"a.py": _NET.format(pre="x", act="h.relu()")},
        ),
        Example(
            {
                "a.py": "import torch\ndef head(x, w, cap):\n    logits = cap * torch.tanh((x @ w) / cap)  # soft cap\n    return logits\n"
            },
            "unwrap-call@a:head/call.tanh",
            {
                "a.py": "import torch\ndef head(x, w, cap):\n    logits = cap * ((x @ w) / cap)  # soft cap\n    return logits\n"
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(pre="x", act="F.gelu(h)")}, "unwrap-call@a:Block.forward/call.up", Reason.SHAPE),
        Refusal({"a.py": "y = f(x)\n"}, "unwrap-call@a:/call.f", Reason.SHAPE),
        Refusal(
            {"a.py": "import torch\nx = y / v.norm().clamp_min(1e-6)\nv = torch.zeros(3)\n"},
            "unwrap-call@a:/call.clamp_min",
            Reason.SHAPE,
        ),
        Refusal(
            {"a.py": "import torch.nn.functional as F\nx = F.gelu(x)\n"}, "unwrap-call@a:/call.gelu", Reason.NO_EFFECT
        ),
        Refusal(
            {"a.py": "import torch.nn.functional as F\ndef evaluate(x):\n    return F.gelu(x)\n"},
            "unwrap-call@a:evaluate/call.gelu",
            Reason.SHARED,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every call that gives back the shape of what it takes; there is nothing to choose."""
        if not graph.callees(site):
            return Reason.SHAPE
        kept = keeps_shape(graph, site)
        if kept is None or guards_numbers(graph, site):
            return Reason.SHAPE
        if serves(graph, site):
            return Reason.SHARED
        statement = graph.statement(site)
        if statement is None or only_reported(graph, statement):
            return Reason.SHARED
        update = self_update(graph, statement)
        if update is not None and text_of(kept) in update.names and site.role == "value":
            return Reason.NO_EFFECT  # `x = x`: delete-statement says it better
        return Reason.UNKNOWN_VALUE if learns(graph, site) and not survives_lost_weights(graph) else NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Replace the call by what it takes."""
        kept = keeps_shape(graph, site)
        return () if kept is None else (ReplaceExpr(site, text_of(kept)),)


KIND = UnwrapCall()
