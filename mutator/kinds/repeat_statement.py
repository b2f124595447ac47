"""repeat-statement: run a self-update several times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.effects import names_of
from mutator.intents import Intent, WrapStmts
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import only_reported
from mutator.updates import mixes, self_update, serves

if TYPE_CHECKING:
    from collections.abc import Mapping

_LABELS = frozenset(
    {"if", "for", "while", "with", "try", "return", "assert", "expression", "raise", "print", "elif", "else"}
)
_STATE = re.compile(r"cache|past_|hidden|state")  # what a call leaves behind for the next one
_NET = """\
from torch import nn
import torch.nn.functional as F
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.up, self.down = nn.Linear(n, 4 * n), nn.Linear(4 * n, n)
        self.mix, self.norm = nn.Linear(n, n), nn.LayerNorm(n)
    def forward(self, x):
{mlp}
        return F.relu(x)
class GPT(nn.Module):
    def __init__(self, n, depth):
        super().__init__()
        self.blocks = nn.ModuleList([Block(n) for _ in range(depth)])
    def forward(self, x):
        for block in self.blocks:
{block}
        return x
"""
_MLP, _BLOCK = "        x = x + self.down(F.relu(self.up(x)))  # (B, T, C)", "            x = block(x)"


class RepeatStatement(EditKind):
    """Run a self-update with learned weights n times in a row: a loop around `x = block(x)` or `x = x + self.mlp(x)`.

    Why: depth without parameters. Source: Universal Transformers, Dehghani et al. 2019 (arXiv:1807.03819); looped transformers,
    Giannou et al. 2023 (arXiv:2301.13196). Each pass costs its compute again, which the budget charges. Not offered for updates
    without weights: normalising twice changes nothing, and an activation twice is another kind's choice; nor with a cache.
    """

    name = "repeat-statement"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(mlp=_MLP, block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=2",
            {"a.py": _NET.format(mlp=f"        for _ in range(2):\n    {_MLP}", block=_BLOCK)},
        ),
        Example(
            {"a.py": _NET.format(mlp=_MLP, block=_BLOCK)},
            "repeat-statement@a:GPT.forward/stmt.x?n=3",
            {"a.py": _NET.format(mlp=_MLP, block=f"            for _ in range(3):\n    {_BLOCK}")},
        ),
        Example(
            {"a.py": _NET.format(mlp="        x = self.mix(x)", block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=2",
            {"a.py": _NET.format(mlp="        for _ in range(2):\n            x = self.mix(x)", block=_BLOCK)},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _NET.format(mlp="        x = x + self.mix(x, cache)", block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=2",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _NET.format(mlp="        x = F.relu(x)", block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=2",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"a.py": _NET.format(mlp="        x = self.norm(x)", block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=2",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"a.py": _NET.format(mlp="        x = self.up(x)", block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=2",
            Reason.SHAPE,
        ),
        Refusal(
            {"a.py": _NET.format(mlp="        _ = 2\n        x = x * _ + self.mix(x)", block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=2",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {"a.py": _NET.format(mlp=_MLP, block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.return?n=2",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _NET.format(mlp=_MLP, block=_BLOCK)},
            "repeat-statement@a:Block.forward/stmt.x?n=9",
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How often, for every update with weights of its own."""
        if site.label in _LABELS or graph.nodes[site.scope].kind is NodeKind.CLASS:
            return Reason.NO_SITE
        update = self_update(graph, site)
        if update is None or len(update.names) > 1:
            return Reason.SHAPE
        if not mixes(graph, site):
            return Reason.NO_EFFECT
        if serves(graph, site) or only_reported(graph, site) or _STATE.search(graph.text(site)):
            return Reason.SHARED
        return choose(n=Between(2, 4, (2, 3))) if "_" not in names_of(graph, site).reads else Reason.NAME_CLASH

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put it in a loop."""
        return (WrapStmts(site, site, f"for _ in range({choice['n']}):"),)


KIND = RepeatStatement()
