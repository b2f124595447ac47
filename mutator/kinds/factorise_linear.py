"""factorise-linear: put two thin layers in the place of a wide one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.callees import spell
from mutator.constants import readings
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.groups import Use, layer_of, sizes_of
from mutator.intents import EnsureImport, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.layers import only_called
from mutator.modules import refuses_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode

_BY = (2, 4, 8)
_THINNEST = 4
_MLP = """\
from torch import nn
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc = {fc}  # up
        self.gelu = nn.GELU()
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
    def forward(self, x):
        return self.proj(self.gelu({x}))
"""
_WIDE = "nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)"
_PLAIN = """\
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = {}
    def forward(self, x):
        return self.fc(x)
"""


class FactoriseLinear(EditKind):
    """Replace `nn.Linear(a, b)` by `nn.Linear(a, r, bias=False)` and `nn.Linear(r, b)`, with r a half to an eighth of what goes in.

    Why: most of what a layer learns has a low rank, and the parameters and the time saved buy width or depth elsewhere. Source:
    Khodak et al. 2021 (arXiv:2105.01029). Not offered: layers whose weight the sources reach for by name (to tie it,
    to initialise it), and models whose optimizer or initialisation lists all weights.
    """

    name = "factorise-linear"
    family = Family.BLOCK
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _MLP.format(fc=_WIDE, x="self.fc(x)")},
            "factorise-linear@a:MLP.__init__/call.Linear?by=4",
            {
                "a.py": _MLP.format(
                    fc="nn.Sequential(nn.Linear(config.n_embd, config.n_embd // 4, bias=False),"
                    " nn.Linear(config.n_embd // 4, 4 * config.n_embd, bias=config.bias))",
                    x="self.fc(x)",
                )
            },
        ),
        Example(
            {"a.py": _PLAIN.format("nn.Linear(64, 10)")},
            "factorise-linear@a:Net.__init__/call.Linear?by=8",
            {"a.py": _PLAIN.format("nn.Sequential(nn.Linear(64, 8, bias=False), nn.Linear(8, 10))")},
        ),
        Example(
            {"a.py": _PLAIN.format("nn.Linear(in_features=64, out_features=256, bias=False)")},
            "factorise-linear@a:Net.__init__/call.Linear?by=2",
            {
                "a.py": _PLAIN.format(
                    "nn.Sequential(nn.Linear(in_features=64, out_features=32, bias=False),"
                    " nn.Linear(in_features=32, out_features=256, bias=False))"
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _MLP.format(fc=_WIDE, x="self.fc(x) + self.fc.bias")},
            "factorise-linear@a:MLP.__init__/call.Linear?by=4",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _PLAIN.format("nn.Linear(6, 10)")},
            "factorise-linear@a:Net.__init__/call.Linear?by=2",
            Reason.SHAPE,
        ),
        Refusal(
            {"a.py": _PLAIN.format("nn.Linear(64, 10)")},
            "factorise-linear@a:Net.__init__/call.Linear?by=3",
            Reason.NO_CHOICE,
        ),
        Refusal({"a.py": _PLAIN.format("nn.GELU()")}, "factorise-linear@a:Net.__init__/call.GELU?by=2", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """By how much the layer gets thinner inside than what goes in."""
        if not site.label.endswith("Linear") or layer_of(graph, site) != "Linear":
            return Reason.NO_SITE
        sizes = {use: expression for expression, use in sizes_of(graph, site)}
        if set(sizes) != {Use.IN, Use.OUT}:
            return Reason.UNKNOWN_VALUE
        if not only_called(graph, site):
            return Reason.SHARED
        refused = refuses_weights(graph)
        if refused is not None:
            return refused
        by = [n for n in _BY if _saves(graph, site, sizes, n)]
        return choose(by=by) if by else Reason.SHAPE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write both layers as one Sequential, the second with the bias of the old one."""
        sizes = {use: expression for expression, use in sizes_of(graph, site)}
        rank = _rank(sizes[Use.IN], int(choice["by"]))
        function = text_of(field_of(graph.syntax(site), "function"))
        first = [_with(part, sizes[Use.OUT], rank) for part in _given(graph, site) if _is_size(part, sizes)]
        second = [_with(part, sizes[Use.IN], rank) for part in _given(graph, site)]
        sequential, imports = _sequential(graph, site)
        inner = f"{function}({', '.join((*first, 'bias=False'))}), {function}({', '.join(second)})"
        return (*imports, ReplaceExpr(site, f"{sequential}({inner})"))


def _sequential(graph: CodeGraph, site: Node) -> tuple[str, tuple[EnsureImport, ...]]:
    return spell(graph, site, "torch.nn.Sequential")


def _given(graph: CodeGraph, site: Node) -> list[SyntaxNode]:
    return parts(field_of(graph.syntax(site), "arguments"))


def _value(part: SyntaxNode) -> SyntaxNode:
    return field_of(part, "value") if part.type == "keyword_argument" else part


def _is_size(part: SyntaxNode, sizes: Mapping[Use, SyntaxNode]) -> bool:
    return _value(part) in sizes.values()


def _with(part: SyntaxNode, old: SyntaxNode, new: str) -> str:
    """Return an argument, with another value where it is the one that is replaced."""
    if _value(part) != old:
        return text_of(part)
    return f"{text_of(field_of(part, 'name'))}={new}" if part.type == "keyword_argument" else new


def _rank(width: SyntaxNode, by: int) -> str:
    text = text_of(width)
    return (
        str(int(text.replace("_", "")) // by)
        if width.type == "integer"
        else fill("{left} // {right}", left=text, right=str(by))
    )


def _saves(graph: CodeGraph, site: Node, sizes: Mapping[Use, SyntaxNode], by: int) -> bool:
    """Whether the two layers have fewer weights than the one, wherever its sizes are known; they are divided without a remainder."""
    known = {
        use: {r.world: r.value for r in readings(graph, sizes[use], site.scope, site.path)} for use in (Use.IN, Use.OUT)
    }
    for world, width in known[Use.IN].items():
        other = known[Use.OUT].get(world)
        if type(width) is not int or width % by or width // by < _THINNEST:
            return False
        if type(other) is int and width // by * (width + other) >= width * other:
            return False
    return bool(known[Use.IN]) or by > _BY[0]


KIND = FactoriseLinear()
