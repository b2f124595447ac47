"""replace-operator: put another operator between the same operands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.expected import fill
from mutator.facts import places_things
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_NO_NUMBER = re.compile(
    r"""['"\[{\n#]|^\*|\blambda\b|\b(Path|root|folder|path|dir|file)\w*\b"""
)  # text, containers, paths, comments, line breaks
_ORDER = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}


class ReplaceOperator:
    """Swap an arithmetic operator or a comparison of a quantity for another one.

    Why: schedules, residuals and scales are one operator from a variant. Of classic operator mutants 11 % train to something different
    (measured on nanoGPT), so expect most to be discarded. Operands keep their grouping: parentheses are added where precedence needs them.
    Not offered: indices, shapes and counts of positions, strings, chained comparisons.
    """

    name = "replace-operator"
    examples = (
        Example({"a.py": "y = a + b * c\n"}, "replace-operator@a:/op.add?to=mul", {"a.py": "y = a * (b * c)\n"}),
        Example({"a.py": "y = (a - b) / c\n"}, "replace-operator@a:/op.div?to=add", {"a.py": "y = (a - b) + c\n"}),
        Example(
            {"a.py": "y = w * (a / b)  # mean\n"},
            "replace-operator@a:/op.div?to=sub",
            {"a.py": "y = w * (a - b)  # mean\n"},
        ),
        Example(
            {"a.py": "if t < warm:\n    t = 0\n"},
            "replace-operator@a:/op.lt?to=le",
            {"a.py": "if t <= warm:\n    t = 0\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "y = x[i + 1]\n"}, "replace-operator@a:/op.add?to=sub", Reason.NO_SITE),
        Refusal({"a.py": "y = x.view(a * b)\n"}, "replace-operator@a:/op.mul?to=add", Reason.NO_SITE),
        Refusal({"a.py": "y = 'a' + b\n"}, "replace-operator@a:/op.add?to=sub", Reason.NO_SITE),
        Refusal({"a.py": "file = root / name\n"}, "replace-operator@a:/op.div?to=add", Reason.NO_SITE),
        Refusal({"a.py": "assert t <= size\n"}, "replace-operator@a:/op.le?to=gt", Reason.NO_SITE),
        Refusal({"a.py": "y = a < b < c\n"}, "replace-operator@a:/op.lt?to=le", Reason.NO_SITE),
        Refusal({"a.py": "y = a + b\n"}, "replace-operator@a:/op.add?to=add", Reason.NO_CHOICE),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every binary arithmetic operator and comparison of quantities."""
        return (node for node in graph.of_kind(NodeKind.OPERATOR) if _is_quantity(graph, node))

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """The other operators of the same family."""
        family = _ARITHMETIC if site.label in _ARITHMETIC else _ORDER
        return tuple((("to", name),) for name in family if name != site.label)

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Write the operands around the new operator."""
        left, right = _operands(graph, site)
        operator = {**_ARITHMETIC, **_ORDER}[str(choice[0][1])]
        return (ReplaceExpr(site, fill(f"{{left}} {operator} {{right}}", left=left, right=right)),)


def _operands(graph: CodeGraph, node: Node) -> tuple[str, ...]:
    syntax = graph.syntax(node)
    return tuple((child.text or b"").decode() for child in syntax.named_children if child.type != "comment")


def _is_quantity(graph: CodeGraph, node: Node) -> bool:
    known = node.label in _ARITHMETIC or node.label in _ORDER
    in_test = node.role == "statement" and graph.parent(node) is not None and node.scope and not _asserted(graph, node)
    if not known or node.role == "augmented" or not (in_test or not places_things(graph, node)):
        return False
    operands = _operands(graph, node)
    return len(operands) == 2 and not any(_NO_NUMBER.search(text) for text in (*operands, graph.text(node)))


def _asserted(graph: CodeGraph, node: Node) -> bool:
    statement = graph.statement(node)
    return statement is not None and statement.label == "assert"
