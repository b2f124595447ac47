"""replace-augmented: accumulate in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, text_of
from mutator.arithmetic import Sort, purpose_of, sort_of_syntax
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGNS = {"add": "+=", "sub": "-=", "mul": "*="}
_MODEL = """import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])

    def forward(self, x):
        for layer in self.layers:
            x {} layer(x)  # residual
        return x
"""


class ReplaceAugmented(EditKind):
    """Swap += -= *= on what accumulates float tensors or floats: a residual stream, a mixture, a running scale.

    Why: a residual stream may add, subtract or gate. Source: assignment operator replacement of classic mutation testing, restricted to
    values that are floats. Not offered: counters, times, budgets, losses, what is only reported, lists and text.
    """

    name = "replace-augmented"
    family = Family.OPERATOR
    at = NodeKind.OPERATOR
    examples = (
        Example(
            {"a.py": _MODEL.format("+=")},
            "replace-augmented@a:Model.forward/op.add?to=mul",
            {"a.py": _MODEL.format("*=")},
        ),
        Example(
            {"a.py": "def f(xs):\n    y = 0.0\n    for x in xs:\n        y += 0.5 * x\n    return y\n"},
            "replace-augmented@a:f/op.add?to=sub",
            {"a.py": "def f(xs):\n    y = 0.0\n    for x in xs:\n        y -= 0.5 * x\n    return y\n"},
        ),
        Example(
            {"a.py": "scale = 1.0\nscale *= 0.5 / 3\nbar = model(scale)\n"},
            "replace-augmented@a:/op.mul?to=sub",
            {"a.py": "scale = 1.0\nscale -= 0.5 / 3\nbar = model(scale)\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "step = 0\nstep += 1\n"}, "replace-augmented@a:/op.add?to=sub", Reason.NO_QUANTITY),
        Refusal({"a.py": "y = []\ny += x\n"}, "replace-augmented@a:/op.add?to=mul", Reason.NO_QUANTITY),
        Refusal({"a.py": "loss = 0.0\nloss += 0.1 * z\n"}, "replace-augmented@a:/op.add?to=sub", Reason.CONTRACT),
        Refusal({"a.py": "total_time = 0.0\ntotal_time += 0.5 * dt\n"}, "replace-augmented@a:/op.add?to=sub", Reason.PROTECTED),
        Refusal({"a.py": "y = a + 0.1\n"}, "replace-augmented@a:/op.add?to=sub", Reason.NO_SITE),
        Refusal({"a.py": "y = f()\ny += g()\n"}, "replace-augmented@a:/op.add?to=sub", Reason.UNKNOWN_VALUE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other signs, where what is accumulated is a float."""
        if site.role != "augmented" or site.label not in _SIGNS:
            return Reason.NO_SITE
        reason = purpose_of(graph, site)
        if reason is not None and reason is not Reason.NO_QUANTITY:
            return reason
        syntax = graph.syntax(site)
        left, right = (sort_of_syntax(graph, field_of(syntax, side), site) for side in ("left", "right"))
        if Sort.OTHER in (left, right) or right is Sort.WHOLE:
            return Reason.NO_QUANTITY
        floats = right is Sort.TENSOR or (right is Sort.FLOAT and left in (Sort.FLOAT, Sort.TENSOR))
        return choose(to=[name for name in _SIGNS if name != site.label]) if floats else Reason.UNKNOWN_VALUE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the other sign."""
        syntax = graph.syntax(site)
        left, right = text_of(field_of(syntax, "left")), text_of(field_of(syntax, "right"))
        return (ReplaceExpr(site, f"{left} {_SIGNS[str(choice['to'])]} {right}"),)


KIND = ReplaceAugmented()
