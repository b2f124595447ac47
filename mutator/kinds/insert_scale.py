"""insert-scale: multiply a float expression by a factor that was not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.arithmetic import Sort, purpose_of, sort_of
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tree_sitter import Node as SyntaxNode

_ARITHMETIC = frozenset({"add", "sub", "mul", "div", "pow"})
_WHOLE = frozenset({"value", "argument", "default", "positional", "entry", "statement"})
_FACTORS = Between(0.01, 100.0, (0.5, 0.7, 1.4, 2.0))
_BOUNDED = re.compile(
    r"beta|momentum|frac|ratio|drop|prob|(^|_)p$|cos|sin"
)  # may not leave its range, or is a rotation
_INIT = """import torch

def init_weights(model, n_embd):
    s = {}3**0.5 * n_embd**-0.5 # sqrt(3) multiplier: the uniform has the std of the normal
    for block in model:
        torch.nn.init.uniform_(block.weight, -s, s)
"""
_SCORES = """import math
import torch.nn as nn

class Attention(nn.Module):
    def __init__(self):
        self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        q, k = self.q(x), self.k(x)
        att = {}(q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
        return att
"""


class InsertScale(EditKind):
    """Multiply a float or tensor expression by a factor: an initial scale, a learning rate, attention scores, a schedule.

    The whole expression that is bound, passed or returned is scaled; a product keeps its shape (`0.7 * 3**0.5 * n_embd**-0.5`).
    Why: the scale of the initialisation, x0.8, x0.7, x0.68, is three of the 22 kept edits of the best public run of karpathy/autoresearch;
    scaled initial weights are worth -0.1 to +0.3 bits on a small language model. What calls give is for scale-output, numbers that are
    there are for scale-literal. Not offered: counts, sizes, times, losses that may be the metric, fractions and rotations.
    """

    name = "insert-scale"
    family = Family.OPERATOR
    at = NodeKind.OPERATOR
    examples = (
        Example(
            {"a.py": _INIT.format("")}, "insert-scale@a:init_weights/op.mul?by=0.7", {"a.py": _INIT.format("0.7 * ")}
        ),
        Example(
            {"a.py": _SCORES.format("")},
            "insert-scale@a:Attention.forward/op.div?by=2.0",
            {"a.py": _SCORES.format("2.0 * ")},
        ),
        Example(
            {
                "a.py": "def groups(ps, embedding_lr=0.2, lr_scale=1.0):\n    return [dict(params=ps, lr=embedding_lr * lr_scale)]\n"
            },
            "insert-scale@a:groups/op.mul?by=0.5",
            {
                "a.py": "def groups(ps, embedding_lr=0.2, lr_scale=1.0):\n    return [dict(params=ps, lr=0.5 * embedding_lr * lr_scale)]\n"
            },
        ),
        Example(
            {"a.py": "import torch\ny = torch.sin(x) + torch.exp(x)  # waves\n"},
            "insert-scale@a:/op.add?by=1.4",
            {"a.py": "import torch\ny = 1.4 * (torch.sin(x) + torch.exp(x))  # waves\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "hidden = n * width\n"}, "insert-scale@a:/op.mul?by=0.5", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": "lr = base / steps\ny = x[int(2.5 / k)]\n"}, "insert-scale@a:/op.div.1?by=0.5", Reason.NO_QUANTITY),
        Refusal({"a.py": "import torch\nloss = torch.exp(a) / k\n"}, "insert-scale@a:/op.div?by=0.5", Reason.CONTRACT),
        Refusal({"a.py": "lr = 0.5 * base / steps\n"}, "insert-scale@a:/op.div?by=0.5", Reason.ALREADY),
        Refusal({"a.py": "import torch\ny = torch.exp(x) + torch.exp(z)\n"}, "insert-scale@a:/op.add?by=1.0", Reason.NO_EFFECT),
        Refusal({"a.py": "step_time = a / b\nprint(step_time)\n"}, "insert-scale@a:/op.div?by=0.5", Reason.PROTECTED),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Factors around one, at every whole expression that is a quantity of floats."""
        if site.label not in _ARITHMETIC or site.role not in _WHOLE:
            return Reason.NO_SITE
        syntax = graph.syntax(site)
        reason = purpose_of(graph, site)
        if reason is not None or _BOUNDED.search(_target(graph, site)) or _is_complement(syntax):
            return reason or Reason.NO_QUANTITY
        if any(factor.type in ("integer", "float") for factor in _factors(syntax)):
            return Reason.ALREADY
        sort = sort_of(graph, site)
        if sort not in (Sort.FLOAT, Sort.TENSOR):
            return Reason.NO_QUANTITY if sort in (Sort.WHOLE, Sort.OTHER) else Reason.UNKNOWN_VALUE
        return choose(by=_FACTORS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the factor in front; sums are parenthesised, products are not.

        Raises: Refused: the factor is 1.
        """
        by, old = float(choice["by"]), graph.text(site)
        if by == 1.0:
            raise Refused(Reason.NO_EFFECT, f"{site.slot}: times 1 is what is there")
        product = site.label in ("mul", "div")
        return (ReplaceExpr(site, f"{by!r} * {old}" if product else fill(f"{by!r} * {{old}}", old=old)),)


def _target(graph: CodeGraph, site: Node) -> str:
    """Return what is written on the left of the expression: the name it is bound to or passed as."""
    statement = graph.statement(site)
    outer = graph.syntax(site).parent
    if outer is not None and outer.type == "keyword_argument":
        return text_of(field_of(outer, "name")).lower()
    return graph.text(statement).partition("=")[0].lower() if statement is not None and site.role == "value" else ""


def _is_complement(syntax: SyntaxNode) -> bool:
    """Whether an expression is the distance to one: `1 - beta`."""
    return text_of(field_of(syntax, "operator")) == "-" and text_of(field_of(syntax, "left")) in ("1", "1.0")


def _factors(syntax: SyntaxNode) -> Iterator[SyntaxNode]:
    """Walk the factors and divisors of a product."""
    if syntax.type == "parenthesized_expression":
        yield from _factors(parts(syntax)[0])
    elif syntax.type == "binary_operator" and text_of(field_of(syntax, "operator")) in ("*", "/"):
        yield from _factors(field_of(syntax, "left"))
        yield from _factors(field_of(syntax, "right"))
    else:
        yield syntax


KIND = InsertScale()
