"""swap-sublayers: exchange two residual sublayers that follow each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.effects import exchanged, next_statement
from mutator.intents import Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.updates import in_module, learns, self_update, serves

if TYPE_CHECKING:
    from collections.abc import Mapping

_NET = """\
from torch import nn
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.attn, self.mlp = Attention(n), MLP(n)
        self.norm = nn.LayerNorm(n)
    def forward(self, x, mask):
        {first}
        {second}
        return x
class Attention(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.proj = nn.Linear(n, n)
    def forward(self, x, mask):
        return self.proj(x)
class MLP(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.up, self.down = nn.Linear(n, 2 * n), nn.Linear(2 * n, n)
    def forward(self, x):
        return self.down(self.up(x))
"""
_ATTN, _MLP = "x = x + self.attn(self.norm(x), mask)", "x = x + self.mlp(self.norm(x))"


class SwapSublayers(EditKind):
    """Exchange two residual sublayers of a block: the feed-forward layer before the attention, or the other way round.

    Why: the order is a habit; sandwich transformers gain from moving feed-forward layers back. Source: Press et al. 2020
    (arXiv:1911.03864). Comments move with their statements. Not offered for updates without weights, of different names, or equal ones.
    """

    name = "swap-sublayers"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(first=_ATTN, second=_MLP)},
            "swap-sublayers@a:Block.forward/stmt.x",
            {"a.py": _NET.format(first=_MLP, second=_ATTN)},
        ),
        Example(
            {"a.py": _NET.format(first=f"# look\n        {_ATTN}  # (B, T, C)\n", second=f"# think\n        {_MLP}")},
            "swap-sublayers@a:Block.forward/stmt.x",
            {"a.py": _NET.format(first=f"# think\n        {_MLP}\n", second=f"# look\n        {_ATTN}  # (B, T, C)")},
        ),
        Example(
            {"a.py": _NET.format(first="x += self.attn(x, mask)", second="x += self.mlp(x)")},
            "swap-sublayers@a:Block.forward/stmt.x",
            {"a.py": _NET.format(first="x += self.mlp(x)", second="x += self.attn(x, mask)")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _NET.format(first=_MLP, second=_MLP)}, "swap-sublayers@a:Block.forward/stmt.x", Reason.NO_EFFECT
        ),
        Refusal(
            {"a.py": _NET.format(first=_MLP, second="y = x")}, "swap-sublayers@a:Block.forward/stmt.x", Reason.ORDER
        ),
        Refusal(
            {"a.py": _NET.format(first="y = self.mlp(x)", second=_MLP)},
            "swap-sublayers@a:Block.forward/stmt.y",
            Reason.NO_SITE,
        ),
        Refusal({"a.py": "x = x + f(x)\nx = x + g(x)\n"}, "swap-sublayers@a:/stmt.x", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every residual sublayer that is followed by another one; there is nothing to choose."""
        if site.label in ("if", "for", "return", "expression", "assert") or not in_module(graph, site):
            return Reason.NO_SITE
        update = self_update(graph, site)
        if update is None or not update.residual or not learns(graph, site) or serves(graph, site):
            return Reason.NO_SITE
        second = next_statement(graph, site)
        if second is None or second.label != site.label:
            return Reason.ORDER
        other = self_update(graph, second)
        if other is None or not other.residual or other.names != update.names or not learns(graph, second):
            return Reason.ORDER
        return NOTHING_TO_CHOOSE if graph.text(site) != graph.text(second) else Reason.NO_EFFECT

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put each in the place of the other."""
        second = next_statement(graph, site)
        return () if second is None else exchanged(graph, site, second)


KIND = SwapSublayers()
