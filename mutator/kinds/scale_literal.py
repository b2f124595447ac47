"""scale-literal: multiply a number, wherever it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.facts import places_things
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLOAT_FACTORS = (0.25, 0.5, 0.7, 1.4, 2.0, 4.0)
_INT_FACTORS = (0.25, 0.5, 2.0, 4.0)
_NUMBER = re.compile(r"-?(\d[\d_]*\.?[\d_]*|\.\d+)([eE][+-]?\d+)?")
_NEAR_ONE = re.compile(r"beta|momentum|decay_rate|ema")  # what counts there is the distance to 1
_NO_QUANTITY = re.compile(r"version|interval|timeout|sleep|port$|num_proc|flops|ignore_index")
_HUGE = 1e8  # best_loss = 1e9 means infinity
_BELOW_ONE = re.compile(r"frac|drop|prob|smoothing|ratio")


class ScaleLiteral:
    """Multiply a number by a factor: a field, an argument, a default, a factor inside an expression.

    Why: in the best public run of karpathy/autoresearch all 16 surviving lines are
    literals or scale factors, half of them no named constant.
    Integers are rounded and stay at least 1; a value that must stay below 1 does; for betas and momenta the distance to 1 is scaled.
    Not offered: zeros, sentinels, and numbers that index, count positions or shape a tensor.
    """

    name = "scale-literal"
    examples = (
        Example({"a.py": "lr: float = 8e-3\n"}, "scale-literal@a:/literal.lr?by=0.5", {"a.py": "lr: float = 4e-3\n"}),
        Example(
            {"a.py": "n_embd = 64  # width\n"},
            "scale-literal@a:/literal.n_embd?by=2.0",
            {"a.py": "n_embd = 128  # width\n"},
        ),
        Example({"a.py": "f(beta2=0.95)\n"}, "scale-literal@a:/literal.beta2?by=2.0", {"a.py": "f(beta2=0.9)\n"}),
        Example(
            {"a.py": "def f(x):\n    return 0.5 * x\n"},
            "scale-literal@a:f/literal.return?by=1.4",
            {"a.py": "def f(x):\n    return 0.7 * x\n"},
        ),
        Example(
            {"a.py": "TOKENS = 65_536\n"}, "scale-literal@a:/literal.TOKENS?by=2.0", {"a.py": "TOKENS = 131_072\n"}
        ),
    )
    refusals = (
        Refusal({"a.py": "dropout = 0.0\n"}, "scale-literal@a:/literal.dropout?by=2.0", Reason.NO_SITE),
        Refusal({"a.py": "y = x[3]\n"}, "scale-literal@a:/literal.index?by=2.0", Reason.NO_SITE),
        Refusal({"a.py": "y = x.view(8, 2)\n"}, "scale-literal@a:/literal.view?by=2.0", Reason.NO_SITE),
        Refusal({"a.py": "warmup_frac = 0.5\n"}, "scale-literal@a:/literal.warmup_frac?by=2.0", Reason.NO_CHOICE),
        Refusal(
            {"a.py": "y = loss(x, ignore_index=-100)\n"}, "scale-literal@a:/literal.ignore_index?by=0.5", Reason.NO_SITE
        ),
        Refusal({"a.py": "y = torch.zeros(30, 40)\n"}, "scale-literal@a:/literal.zeros?by=2.0", Reason.NO_SITE),
        Refusal({"a.py": "best = 1e308\n"}, "scale-literal@a:/literal.best?by=2.0", Reason.NO_SITE),
        Refusal({"a.py": "lr = 0.1\n"}, "scale-literal@a:/literal.lr?by=3.0", Reason.NO_CHOICE),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every number that is a quantity."""
        return (node for node in graph.of_kind(NodeKind.LITERAL) if _is_quantity(graph, node))

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """The factors that give a different number in range."""
        old = graph.text(site)
        texts: dict[str, Choice] = {}
        for factor in _INT_FACTORS if _is_int(old) else _FLOAT_FACTORS:
            new = _scaled(old, factor, site.label)
            if new is not None and new != old:
                texts.setdefault(new, (("by", factor),))
        return tuple(texts.values())

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Replace the number by the product, written in the author's format."""
        new = _scaled(graph.text(site), float(choice[0][1]), site.label)
        return (ReplaceExpr(site, new),) if new is not None else ()


def _is_quantity(graph: CodeGraph, node: Node) -> bool:
    text = graph.text(node).replace("_", "")
    if not _NUMBER.fullmatch(text) or float(text) == 0 or _NO_QUANTITY.search(node.label) or places_things(graph, node):
        return False
    if _is_int(text):  # unnamed and negative ones are positions and sentinels
        return node.role in ("value", "argument", "default") and int(text) > 1
    return abs(float(text)) < _HUGE


def _is_int(text: str) -> bool:
    return text.lstrip("-").replace("_", "").isdigit()


def _scaled(old: str, factor: float, label: str) -> str | None:
    """Return the scaled number in the format of the old one; None when it would leave its range."""
    value = float(old.replace("_", ""))
    if _is_int(old):
        return f"{max(1, round(value * factor)):{'_' if '_' in old else ''}}"
    near_one = _NEAR_ONE.search(label) and 0.5 < value < 1
    new = 1 - (1 - value) * factor if near_one else value * factor
    if not 0 < new < 1 and (near_one or (0 < value < 1 and _BELOW_ONE.search(label))):
        return None
    rounded = float(f"{new:.3g}")
    if "e" in old.lower():
        mantissa, exponent = f"{rounded:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return repr(rounded)
