"""hoist-literal: give a number in a function a name, as a constant of the module or a parameter of the function."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import parts, text_of
from mutator.domain import Domain, OneOf, choose
from mutator.edit import Scalar
from mutator.intents import AddParam, InsertStmt, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import not_a_quantity, value_of
from mutator.places import constant_place, purpose, unit_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_NET = """\
import torch.nn.functional as F
from torch import nn

WIDTH = 8
{constant}
class MLP(nn.Module):
    def forward(self, x{param}):
        x = F.dropout(x, p={p}, training=self.training)  # (B, T, C)
        return {scale} * x
"""


class HoistLiteral(EditKind):
    """Name a number that stands in a function: a constant of the module, next to those that there are, or a parameter with it as default.

    Behaviour stays as it is; what it buys is that a number which stands in several calls of one function, or in none that an edit
    reaches, becomes one that people and later edits turn. Source: kind 36 of the grammar, within one file.
    Not offered: 0 and 1, which need no name; what counts, indexes or shapes; parameters of functions that are decorated or take `*args`
    or `**kwargs`; what a just-in-time compiler reads.
    """

    name = "hoist-literal"
    family = Family.REFACTOR
    at = NodeKind.LITERAL
    preserves = True
    examples = (
        Example(
            {"a.py": _NET.format(constant="", param="", p="0.1", scale="0.5")},
            "hoist-literal@a:MLP.forward/literal.p?to=constant",
            {"a.py": _NET.format(constant="MLP_P = 0.1\n", param="", p="MLP_P", scale="0.5")},
        ),
        Example(
            {"a.py": _NET.format(constant="", param="", p="0.1", scale="0.5")},
            "hoist-literal@a:MLP.forward/literal.return?to=constant",
            {"a.py": _NET.format(constant="MLP_FACTOR = 0.5\n", param="", p="0.1", scale="MLP_FACTOR")},
        ),
        Example(
            {"a.py": _NET.format(constant="", param="", p="0.1", scale="0.5")},
            "hoist-literal@a:MLP.forward/literal.p?to=parameter",
            {"a.py": _NET.format(constant="", param=", p=0.1", p="p", scale="0.5")},
        ),
        Example(
            {"a.py": "import math\n\ndef lr_scale(t):\n    return 0.1 + 0.9 * math.cos(t)\n"},
            "hoist-literal@a:lr_scale/literal.return.1?to=constant",
            {
                "a.py": "import math\n\nLR_SCALE_FACTOR = 0.9\n\ndef lr_scale(t):\n    return 0.1 + LR_SCALE_FACTOR * math.cos(t)\n"
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "def f(x):\n    return x[3]\n"}, "hoist-literal@a:f/literal.index?to=constant", Reason.NO_QUANTITY
        ),
        Refusal({"a.py": "def f(x):\n    name = 'x'\n"}, "hoist-literal@a:f/literal.name?to=constant", Reason.NO_SITE),
        Refusal({"a.py": "scale = 0.5\n"}, "hoist-literal@a:/literal.scale?to=constant", Reason.ALREADY),
        Refusal(
            {"a.py": "def f(x, scale=0.5):\n    return x * scale\n"},
            "hoist-literal@a:f/literal.scale?to=constant",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": "def f(x, **kw):\n    return g(x, scale=0.5)\n"},
            "hoist-literal@a:f/literal.scale?to=parameter",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": "import triton\n@triton.jit\ndef f(x):\n    return x * 0.5\n"},
            "hoist-literal@a:f/literal.return?to=constant",
            Reason.SHARED,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Where to, for every quantity in the body of a function."""
        reason = not_a_quantity(graph, site)
        if reason is not None or abs(value_of(graph.text(site))) in (0, 1):
            return reason or Reason.NO_QUANTITY
        function, statement = graph.nodes[site.scope], graph.statement(site)
        if function.kind is not NodeKind.FUNCTION or statement is None:
            return Reason.ALREADY
        around = [n for n in (function, *graph.ancestors(function)) if n.kind is NodeKind.FUNCTION]
        if any("jit" in graph.text(n).partition("def ")[0] or "jit" in _decorators(graph, n) for n in around):
            return Reason.SHARED
        return choose(to=OneOf(("constant", "parameter") if _takes(graph, site, function) else ("constant",)))

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Bind the name, and put it in the place of the number."""
        text, function = graph.text(site), graph.nodes[site.scope]
        if choice["to"] == "parameter":
            name = purpose(graph, site)
            return (AddParam(function, name, text), ReplaceExpr(site, name))
        name = _free(graph, site, f"{unit_name(graph, function)}_{purpose(graph, site)}".upper())
        anchor, before = constant_place(graph, site.path)
        constant = f"{name} = {text}"
        if anchor.kind is NodeKind.STATEMENT:
            return (InsertStmt(anchor, constant), ReplaceExpr(site, name))
        lines = f"{constant}\n" if before else f"\n{constant}"
        return (InsertStmt(anchor, lines, before=before), ReplaceExpr(site, name))


def _free(graph: CodeGraph, site: Node, name: str) -> str:
    """Return the name, with a number behind it when the file uses it already."""
    words = set(re.findall(r"\w+", graph.files[site.path].data.decode()))
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, 1000))) if n not in words)


def _takes(graph: CodeGraph, site: Node, function: Node) -> bool:
    """Whether a function may have one more parameter of that name."""
    parameters = graph.syntax(function).child_by_field_name("parameters")
    name = purpose(graph, site)
    starred = parameters is None or any(text_of(p).startswith("*") for p in parts(parameters))
    special = function.label.startswith("__") and function.label != "__init__"
    known = re.search(rf"(?<![\w.]){name}\b(?!\s*=[^=])", graph.text(function)) or graph.bindings(name, function.slot)
    return not (starred or special or known or _decorators(graph, function)) and name.isidentifier()


def _decorators(graph: CodeGraph, function: Node) -> str:
    return " ".join(graph.sources(function.slot, EdgeKind.DECORATES)) + _written(graph, function)


def _written(graph: CodeGraph, function: Node) -> str:
    outer = graph.files[function.path].tree.root_node.descendant_for_byte_range(function.start, function.end)
    while outer is not None and outer.type not in ("decorated_definition", "block", "module"):
        outer = outer.parent
    return text_of(outer).partition("def ")[0] if outer is not None and outer.type == "decorated_definition" else ""


KIND = HoistLiteral()
