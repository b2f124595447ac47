"""scale-literal: multiply a number, wherever it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.assertions import breaks_assertion
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused
from mutator.numbers import is_int, name_of, not_a_quantity, value_of, written

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLOAT_FACTORS = (0.25, 0.5, 0.7, 1.4, 2.0, 4.0)
_INT_FACTORS = (0.25, 0.5, 2.0, 4.0)
_LOW, _HIGH = 0.01, 100.0
_NEAR_ONE = re.compile(r"beta|momentum|decay_rate|ema")  # what counts there is the distance to 1
_BELOW_ONE = re.compile(r"frac|drop|prob|smoothing|ratio")


class ScaleLiteral(EditKind):
    """Multiply a number by a factor: a field, an argument, a default, an element of a tuple, a factor inside an expression.

    Why: in the best public run of karpathy/autoresearch all 16 surviving lines are literals or scale factors, half of them no named
    constant. Any factor between the ends is accepted. Integers are rounded and stay at least 1; a value that must stay below 1 does; for
    betas and momenta the distance to 1 is scaled. Not offered: zeros, sentinels, numbers that index, count positions or shape a tensor,
    seeds, budgets, context lengths, what is only printed, and what would make an assert of the sources fail.
    """

    name = "scale-literal"
    family = Family.LITERAL
    at = NodeKind.LITERAL
    examples = (
        Example({"a.py": "lr: float = 8e-3\n"}, "scale-literal@a:/literal.lr?by=0.5", {"a.py": "lr: float = 4e-3\n"}),
        Example(
            {"a.py": "n_embd = 64  # width\n"},
            "scale-literal@a:/literal.n_embd?by=2.0",
            {"a.py": "n_embd = 128  # width\n"},
        ),
        Example({"a.py": "f(beta2=0.95)\n"}, "scale-literal@a:/literal.beta2?by=2.0", {"a.py": "f(beta2=0.9)\n"}),
        Example(
            {
                "a.py": "def momentum(step):\n    frac = min(step / 300, 1)\n    return (1 - frac) * 0.85 + frac * 0.95\n"
            },
            "scale-literal@a:momentum/literal.min?by=2.0",
            {
                "a.py": "def momentum(step):\n    frac = min(step / 600, 1)\n    return (1 - frac) * 0.85 + frac * 0.95\n"
            },
        ),
        Example(
            {
                "a.py": "def windows(config):\n    short = config.length // 2\n    return [(short, 0), (config.length, 0)]\n"
            },
            "scale-literal@a:windows/literal.short?by=4.0",
            {
                "a.py": "def windows(config):\n    short = config.length // 8\n    return [(short, 0), (config.length, 0)]\n"
            },
        ),
        Example(
            {"a.py": "groups = [\n    dict(params=ps, lr=0.5 * lr, betas=(0.96, 0.95)),  # scalars\n]\n"},
            "scale-literal@a:/literal.lr?by=0.7",
            {"a.py": "groups = [\n    dict(params=ps, lr=0.35 * lr, betas=(0.96, 0.95)),  # scalars\n]\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "dropout = 0.0\n"}, "scale-literal@a:/literal.dropout?by=2.0", Reason.NO_EFFECT),
        Refusal({"a.py": "y = x.view(8, 2)\n"}, "scale-literal@a:/literal.view?by=2.0", Reason.NO_QUANTITY),
        Refusal({"a.py": "warmup_frac = 0.5\n"}, "scale-literal@a:/literal.warmup_frac?by=2.0", Reason.NO_CHOICE),
        Refusal(
            {"a.py": "y = loss(x, ignore_index=-100)\n"},
            "scale-literal@a:/literal.ignore_index?by=0.5",
            Reason.NO_QUANTITY,
        ),
        Refusal(
            {"a.py": "n_head = 10\nn_embd = 100\nassert n_embd % n_head == 0\n"},
            "scale-literal@a:/literal.n_head?by=4.0",
            Reason.ASSERTION,
        ),
        Refusal({"a.py": "pct = 100.0 * p\nprint(pct)\n"}, "scale-literal@a:/literal.pct?by=2.0", Reason.NO_EFFECT),
        Refusal({"a.py": "max_iters = 600\n"}, "scale-literal@a:/literal.max_iters?by=2.0", Reason.PROTECTED),
        Refusal({"a.py": "block_size = 256\n"}, "scale-literal@a:/literal.block_size?by=0.5", Reason.CONTRACT),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The factors that give a different number in range, at every number that is a quantity."""
        reason = not_a_quantity(graph, site)
        if reason is not None:
            return reason
        old, name = graph.text(site), name_of(graph, site)
        if value_of(old) == 0 or (is_int(old) and value_of(old) < 2):
            return Reason.NO_EFFECT if value_of(old) == 0 else Reason.NO_QUANTITY
        texts: dict[str, float] = {}
        for factor in _INT_FACTORS if is_int(old) else _FLOAT_FACTORS:
            new = _scaled(old, factor, name)
            if new is not None and not (is_int(old) and breaks_assertion(graph, site, new)):
                texts.setdefault(new, factor)
        return choose(by=Between(_LOW, _HIGH, tuple(texts.values()))) if texts else Reason.ASSERTION

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Replace the number by the product, written in the author's format.

        Raises: Refused: the product is the number itself, out of its range, or makes an assert fail.
        """
        old, by = graph.text(site), float(choice["by"])
        new = _scaled(old, by, name_of(graph, site))
        if new is None:
            raise Refused(Reason.NO_CHOICE, f"{site.slot}: {old} times {by} is {old} again or out of range")
        if is_int(old) and breaks_assertion(graph, site, new):
            raise Refused(Reason.ASSERTION, f"{site.slot}: with {new} an assert of the sources fails")
        return (ReplaceExpr(site, new),)


def _scaled(old: str, factor: float, name: str) -> str | None:
    """Return the scaled number in the format of the old one; None when it is the old one or would leave its range."""
    value, name = value_of(old), name.lower()
    if is_int(old):
        new = written(max(1, round(value * factor)), old)
        return new if new != old else None
    near_one = bool(_NEAR_ONE.search(name)) and 0.5 < value < 1
    scaled = 1 - (1 - value) * factor if near_one else value * factor
    if not 0 < scaled < 1 and (near_one or (0 < value < 1 and _BELOW_ONE.search(name))):
        return None
    new = written(float(f"{scaled:.3g}"), old)
    return new if value_of(new) not in (value, 0.0) else None


KIND = ScaleLiteral()
