"""replace-operator: put another arithmetic operator between the same operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.roles import role_of
from graph.syntax import field_of, text_of
from mutator.arithmetic import Sort, operands, purpose_of, sort_of, sort_of_syntax
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.number_roles import role_of_name
from mutator.numbers import is_number, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_INITS = frozenset({"normal_", "uniform_", "trunc_normal_", "constant_"})
_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_BLOCK = """import torch.nn as nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln, self.mlp = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x):
        return x {} self.mlp(self.ln(x))  # residual
"""


class ReplaceOperator(EditKind):
    """Swap an operator between floats or float tensors for another of + - * and, where nothing is divided by zero, /.

    Why: schedules, residuals and gates are one operator from a variant. Of classic operator mutants 11 % train to something different
    (measured on nanoGPT), so expect most to be discarded; what the operands are is followed, so that they run. Operands keep their
    grouping: parentheses are added where precedence needs them. Not offered: whole numbers, which count, index and shape; text, paths and
    containers; losses and times; comparisons, which replace-comparison takes.
    """

    name = "replace-operator"
    family = Family.OPERATOR
    at = NodeKind.OPERATOR
    examples = (
        Example(
            {"a.py": "y = 0.5 * a + b * 0.1\n"},
            "replace-operator@a:/op.add?to=mul",
            {"a.py": "y = 0.5 * a * (b * 0.1)\n"},
        ),
        Example({"a.py": "y = (a - 0.1) / c\n"}, "replace-operator@a:/op.div?to=add", {"a.py": "y = (a - 0.1) + c\n"}),
        Example(
            {"a.py": "y = w * (a / 2.0)  # mean\n"},
            "replace-operator@a:/op.div?to=sub",
            {"a.py": "y = w * (a - 2.0)  # mean\n"},
        ),
        Example(
            {"a.py": _BLOCK.format("+")}, "replace-operator@a:Block.forward/op.add?to=mul", {"a.py": _BLOCK.format("*")}
        ),
    )
    refusals = (
        Refusal({"a.py": "y = x[i + 1]\n"}, "replace-operator@a:/op.add?to=sub", Reason.NO_QUANTITY),
        Refusal({"a.py": "y = x.view(a * b)\n"}, "replace-operator@a:/op.mul?to=add", Reason.NO_QUANTITY),
        Refusal({"a.py": "y = 'a' + b\n"}, "replace-operator@a:/op.add?to=sub", Reason.NO_QUANTITY),
        Refusal({"a.py": "file = root / name\n"}, "replace-operator@a:/op.div?to=add", Reason.NO_QUANTITY),
        Refusal({"a.py": "y = a + b\n"}, "replace-operator@a:/op.add?to=sub", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": "loss = 0.5 * a + b\n"}, "replace-operator@a:/op.add?to=sub", Reason.CONTRACT),
        Refusal({"a.py": "y = 0.5 * a + b\n"}, "replace-operator@a:/op.add?to=div", Reason.NO_CHOICE),
        Refusal({"a.py": "y = a < 0.5\n"}, "replace-operator@a:/op.lt?to=le", Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other operators, at every binary one between floats."""
        if site.label not in _ARITHMETIC or site.role == "augmented":
            return Reason.NO_SITE
        reason = purpose_of(graph, site)
        if reason is not None or "#" in graph.text(site) or "\n" in graph.text(site):
            return reason or Reason.SHARED_LINE
        sort = sort_of(graph, site)
        if sort not in (Sort.FLOAT, Sort.TENSOR):
            return Reason.UNKNOWN_VALUE if sort is Sort.UNKNOWN else Reason.NO_QUANTITY
        if _initialises(graph, site):
            return Reason.NO_QUANTITY
        barred = {
            site.label,
            *(() if _divides(graph, site) else ("div",)),
            *(("sub",) if _stays_positive(graph, site) else ()),
        }
        return choose(to=[name for name in _ARITHMETIC if name not in barred])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the operands around the new operator."""
        left, right = (text_of(part) for part in operands(graph.syntax(site)))
        return (
            ReplaceExpr(site, fill(f"{{left}} {_ARITHMETIC[str(choice['to'])]} {{right}}", left=left, right=right)),
        )


def _initialises(graph: CodeGraph, site: Node) -> bool:
    """Whether an expression is a bound or a spread of an initialisation, which must keep their order and sign."""
    calls = (n for n in graph.ancestors(site) if n.kind is NodeKind.CALL)
    return any(
        call.label.endswith("_") and (call.label in _INITS or "nn.init." in "".join(graph.callees(call)))
        for call in calls
    )


def _stays_positive(graph: CodeGraph, site: Node) -> bool:
    """Whether an expression may not become negative: a rate of an optimizer, the base of a power, what a root or logarithm is taken of."""
    outer = graph.syntax(site).parent
    while outer is not None and outer.type == "parenthesized_expression":
        outer = outer.parent
    power = outer is not None and outer.type == "binary_operator" and text_of(field_of(outer, "operator")) == "**"
    call = graph.parent(site)
    rooted = call is not None and call.kind is NodeKind.CALL and call.label in ("sqrt", "log", "log2", "rsqrt")
    return power or rooted or bool(role_of_name(role_of(graph.syntax(site))[1].lower()))


def _divides(graph: CodeGraph, site: Node) -> bool:
    """Whether the right operand may be divided by: a number that is written out and not zero, or a quotient."""
    right = operands(graph.syntax(site))[1]
    if right.type in ("integer", "float"):
        return is_number(text_of(right)) and value_of(text_of(right)) != 0
    return site.label == "mul" and sort_of_syntax(graph, right, site) is Sort.FLOAT and "/" in text_of(right)


KIND = ReplaceOperator()
