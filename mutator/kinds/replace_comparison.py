"""replace-comparison: compare the same two quantities in another way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import parts, text_of
from mutator.arithmetic import Sort, returns_of, sort_of_syntax
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.effects import text_with_block
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import off_the_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_ORDER = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_STRICTNESS = {"lt": ("le",), "le": ("lt",), "gt": ("ge",), "ge": ("gt",)}
_SHAPES = re.compile(r"shape|\bndim\b|\.dim\(\)|size|numel|\blen\(|version|capability|idx|index|['\"]|rank|ndim")
_BUDGET = re.compile(r"time|budget|elapsed|best|loss|patience|interval|eval|valid|isnan|isinf|epoch|mask|causal|window")
_LEAVING = re.compile(r"^\s*(break|raise|exit|sys\.exit|quit|continue|assert)\b", re.MULTILINE)
_DECAY = """def rate(it, last, top=0.1):
    if it {} last:
        return 0.01
    ratio = it / last
    assert 0 <= ratio <= 1
    return top * ratio
"""


class ReplaceComparison(EditKind):
    """Swap < <= > >= for another in the condition of a schedule, a gate or a clamp.

    Why: where a schedule switches is decided by one comparison. Source: relational operator replacement of classic mutation testing, of
    which nearly nothing is live on nanoGPT; kept for completeness and cheap to discard. Not offered: loops, what leaves a loop or raises,
    times and budgets, losses, shapes, filters of comprehensions (a parameter would end in two groups of an optimizer) and chains.
    """

    name = "replace-comparison"
    family = Family.OPERATOR
    at = NodeKind.OPERATOR
    examples = (
        Example(
            {"a.py": "def lr(step, warm):\n    if step < warm:\n        return step / warm\n    return 1.0\n"},
            "replace-comparison@a:lr/op.lt?to=le",
            {"a.py": "def lr(step, warm):\n    if step <= warm:\n        return step / warm\n    return 1.0\n"},
        ),
        Example(
            {"a.py": "import torch\ng = torch.exp(x)\nkeep = (g * p) >= 0  # cautious\n"},
            "replace-comparison@a:/op.ge?to=lt",
            {"a.py": "import torch\ng = torch.exp(x)\nkeep = (g * p) < 0  # cautious\n"},
        ),
        Example(
            {"a.py": _DECAY.format(">")},
            "replace-comparison@a:rate/op.gt?to=ge",
            {"a.py": _DECAY.format(">=")},
        ),
    )
    refusals = (
        Refusal({"a.py": "assert t <= size\n"}, "replace-comparison@a:/op.le?to=gt", Reason.NO_QUANTITY),
        Refusal({"a.py": "y = a < b < c\n"}, "replace-comparison@a:/op.lt?to=le", Reason.NO_SITE),
        Refusal({"a.py": "while t < n:\n    t += 1\n"}, "replace-comparison@a:/op.lt?to=le", Reason.PROTECTED),
        Refusal({"a.py": "for t in s:\n    if t > n:\n        break\n"}, "replace-comparison@a:/op.gt?to=ge", Reason.PROTECTED),
        Refusal({"a.py": "g = [p for p in ps if p.dim() >= 2]\n"}, "replace-comparison@a:/op.ge?to=lt", Reason.SHAPE),
        Refusal({"a.py": _DECAY.format(">")}, "replace-comparison@a:rate/op.gt?to=lt", Reason.NO_CHOICE),
        Refusal({"a.py": "if t < warm:\n    t = 0\n"}, "replace-comparison@a:/op.lt?to=le", Reason.UNKNOWN_VALUE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other comparisons."""
        syntax = graph.syntax(site)
        if site.label not in _ORDER or len(parts(syntax)) != 2:
            return Reason.NO_SITE
        statement = graph.statement(site)
        if statement is None or statement.label in ("assert", "raise", "delete") or site.role == "index":
            return Reason.NO_QUANTITY
        text = graph.text(site)
        if _SHAPES.search(text) or "#" in text:
            return Reason.SHAPE
        if statement.label == "while" or _BUDGET.search(text.lower()) or _leaves(graph, statement):
            return Reason.PROTECTED
        reason = off_the_path(graph, site)
        sorts = [sort_of_syntax(graph, part, site) for part in parts(syntax)]
        scheduled = _returns_floats(graph, site)
        if reason is not None or _filters(graph, site) or not (scheduled or Sort.TENSOR in sorts):
            return reason or Reason.UNKNOWN_VALUE
        if Sort.TENSOR not in sorts and any(text_of(part) in ("0", "0.0") for part in parts(syntax)):
            return Reason.UNKNOWN_VALUE  # it may guard a division
        options = _ORDER if Sort.TENSOR in sorts or not _asserts(graph, site) else _STRICTNESS[site.label]
        return choose(to=[name for name in options if name != site.label])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the operands around the new comparison."""
        left, right = (text_of(part) for part in parts(graph.syntax(site)))
        return (ReplaceExpr(site, f"{left} {_ORDER[str(choice['to'])]} {right}"),)


def _leaves(graph: CodeGraph, statement: Node) -> bool:
    """Whether a condition decides that a loop ends, something raises or a program exits."""
    return statement.label == "if" and bool(_LEAVING.search(text_with_block(graph, statement)))


def _returns_floats(graph: CodeGraph, site: Node) -> bool:
    """Whether a comparison stands in a function that returns floats alone, as a schedule does."""
    function = graph.nodes[site.scope]
    found = list(returns_of(graph, function)) if function.kind is NodeKind.FUNCTION else []
    values = [parts(graph.syntax(node)) for node in found]
    sorts = {sort_of_syntax(graph, value[0], node) for value, node in zip(values, found, strict=True) if value}
    return all(values) and Sort.FLOAT in sorts and sorts <= {Sort.FLOAT, Sort.UNKNOWN}


def _asserts(graph: CodeGraph, site: Node) -> bool:
    """Whether the function around a comparison asserts something, which another order of its branches may break."""
    return any(n.scope == site.scope and n.label == "assert" for n in graph.files[site.path].nodes)


def _filters(graph: CodeGraph, site: Node) -> bool:
    """Whether a comparison decides what a comprehension takes."""
    outer = graph.syntax(site).parent
    while outer is not None and not outer.type.endswith(("_statement", "_clause")):
        outer = outer.parent
    return outer is not None and outer.type == "if_clause"


KIND = ReplaceComparison()
