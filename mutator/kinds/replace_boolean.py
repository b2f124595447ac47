"""replace-boolean: join the same conditions with the other of `and` and `or`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, text_of
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import off_the_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = {"and": "or", "or": "and"}
_GUARDS = re.compile(
    r"\bNone\b|isinstance|hasattr|getattr|callable|issubclass|\bin\b|\bis\b|exists|startswith|endswith|['\"]|len\(|shape|ndim|dim\(\)|size|\bany\b|\ball\b"
    r"|\w\(|[\[{]|HAS_|dtype|features|available|capab|supports|%"
)
_PROTECTED = re.compile(
    r"time|budget|eval|valid|best|loss|rank|master|log|verbose|debug|save|resume|isnan|isinf|step|epoch|iter|ddp|dist|exist|causal|mask"
)
_MODES = re.compile(r"window|causal|mask|training|\btrain\b|no_grad|requires_grad|inference")


class ReplaceBoolean(EditKind):
    """Replace `and` by `or`, or `or` by `and`, between conditions on flags and quantities of the model.

    Why: which layers get a feature is often a conjunction of flags. Source: logical connector replacement of classic mutation testing; a
    flag itself is flipped by flip-flag. Not offered: guards of None, types, members and shapes, conditions on time, steps, losses, ranks
    and logging, and whatever tells training from evaluation.
    """

    name = "replace-boolean"
    family = Family.OPERATOR
    at = NodeKind.OPERATOR
    examples = (
        Example(
            {"a.py": "def gate(first, wide):\n    if first and wide > 2:\n        return 0.5\n    return 1.0\n"},
            "replace-boolean@a:gate/op.and",
            {"a.py": "def gate(first, wide):\n    if first or wide > 2:\n        return 0.5\n    return 1.0\n"},
        ),
        Example({"a.py": "use = a or b and c\n"}, "replace-boolean@a:/op.or", {"a.py": "use = a and (b and c)\n"}),
        Example(
            {"a.py": "use = not tied or wide\n"}, "replace-boolean@a:/op.or", {"a.py": "use = not tied and wide\n"}
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "if x is not None and x > 2:\n    y = 1\n"}, "replace-boolean@a:/op.and", Reason.UNKNOWN_VALUE
        ),
        Refusal({"a.py": "drop = training and p > 0\n"}, "replace-boolean@a:/op.and", Reason.CONTRACT),
        Refusal(
            {"a.py": "if step > 10 and spent >= most:\n    stop = 1\n"}, "replace-boolean@a:/op.and", Reason.PROTECTED
        ),
        Refusal({"a.py": "assert a and b\n"}, "replace-boolean@a:/op.and", Reason.NO_QUANTITY),
        Refusal({"a.py": "y = a < b\n"}, "replace-boolean@a:/op.lt", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every conjunction and disjunction that is no guard; there is one other word."""
        if site.label not in _WORDS:
            return Reason.NO_SITE
        statement, text = graph.statement(site), graph.text(site)
        if statement is None or statement.label in ("assert", "while", "raise"):
            return Reason.NO_QUANTITY
        if _MODES.search(text):
            return Reason.CONTRACT
        if _PROTECTED.search(text.lower()):
            return Reason.PROTECTED
        if _GUARDS.search(text) or "#" in text or "\n" in text:
            return Reason.UNKNOWN_VALUE
        return off_the_path(graph, site) or NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the conditions around the other word."""
        syntax = graph.syntax(site)
        left, right = text_of(field_of(syntax, "left")), text_of(field_of(syntax, "right"))
        return (ReplaceExpr(site, fill(f"{{left}} {_WORDS[site.label]} {{right}}", left=left, right=right)),)


KIND = ReplaceBoolean()
