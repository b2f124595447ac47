"""step-power: take another power of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, text_of
from mutator.assertions import breaks_assertion
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import is_int, kept, written

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEPS = (-2, -1, 1, 2)
_BASES = {"**": "2", "<<": "1"}
_LARGEST = 32  # an exponent above it is a limit of a number type


class StepPower(EditKind):
    """Raise or lower the exponent of a power of two: a batch of `2**19` tokens, a width of `1 << 9`.

    Why: sizes that tensors share stay divisible when they are halved or doubled. Source: the first kept edit of the best public run of
    karpathy/autoresearch, TOTAL_BATCH_SIZE 2**19 -> 2**18, worth 1.2 % alone. Plain numbers are for scale-literal. Not offered: what
    would make an assert fail, as 2**17 does there.
    """

    name = "step-power"
    family = Family.LITERAL
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"train.py": "TOTAL_BATCH_SIZE = 2**19 # ~524K tokens per optimizer step\n"},
            "step-power@train:/literal.TOTAL_BATCH_SIZE.1?by=-1",
            {"train.py": "TOTAL_BATCH_SIZE = 2**18 # ~524K tokens per optimizer step\n"},
        ),
        Example(
            {"a.py": "class Config:\n    width: int = 1 << 9\n"},
            "step-power@a:Config/literal.width.1?by=1",
            {"a.py": "class Config:\n    width: int = 1 << 10\n"},
        ),
        Example(
            {
                "prepare.py": "LENGTH = 2048\n",
                "train.py": "from prepare import LENGTH\n\nROWS = 128\nBATCH = 2**19\nper_step = ROWS * LENGTH\n"
                "assert BATCH % per_step == 0\n",
            },
            "step-power@train:/literal.BATCH.1?by=-1",
            {
                "train.py": "from prepare import LENGTH\n\nROWS = 128\nBATCH = 2**18\nper_step = ROWS * LENGTH\n"
                "assert BATCH % per_step == 0\n",
            },
        ),
    )
    refusals = (
        Refusal({"a.py": "y = x ** 2\n"}, "step-power@a:/literal.y?by=1", Reason.NO_SITE),
        Refusal({"a.py": "seed = 2**5\n"}, "step-power@a:/literal.seed.1?by=1", Reason.NO_QUANTITY),
        Refusal({"a.py": "top = 2**63\n"}, "step-power@a:/literal.top.1?by=-1", Reason.NO_QUANTITY),
        Refusal({"a.py": "size = 2**19\nassert size % 262144 == 0\n"}, "step-power@a:/literal.size.1?by=-2", Reason.NO_CHOICE),
        Refusal({"a.py": "eval_tokens = 2**20\n"}, "step-power@a:/literal.eval_tokens.1?by=1", Reason.PROTECTED),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """One or two steps up or down, where no assert fails."""
        if site.role != "operand" or not is_int(graph.text(site)) or not _is_exponent(graph, site):
            return Reason.NO_SITE
        old = int(graph.text(site))
        if not -_LARGEST <= old <= _LARGEST:
            return Reason.NO_QUANTITY
        reason = kept(graph, site)
        steps = [by for by in _STEPS if old + by >= min(old, 0) and not breaks_assertion(graph, site, str(old + by))]
        return reason or (choose(by=steps) if steps else Reason.ASSERTION)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the new exponent."""
        old = graph.text(site)
        return (ReplaceExpr(site, written(int(old) + int(choice["by"]), old)),)


def _is_exponent(graph: CodeGraph, site: Node) -> bool:
    syntax = graph.syntax(site)
    outer = syntax.parent
    if outer is None or outer.type != "binary_operator" or field_of(outer, "right") != syntax:
        return False
    return _BASES.get(text_of(field_of(outer, "operator"))) == text_of(field_of(outer, "left"))


KIND = StepPower()
