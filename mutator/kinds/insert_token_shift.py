"""insert-token-shift: mix the previous position into each embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import spell
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.facts import FUNCTIONAL, forward_of_module
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.tensors import NO_VALUE, embeds, looks_back, tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCALES = Between(-1.0, 2.0, (0.1, 0.3, 0.5, 1.0))
_NET = """\
import torch
import torch.nn.functional as F
from torch import nn
class GPT(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(8, n), nn.Embedding(8, n)
    def forward(self, idx{more}):
        {size}
        pos = torch.arange(0, t)
        {x}
        return x
"""
_BATCH, _SUM = "b, t = idx.size()", "x = self.wte(idx) + self.wpe(pos)  # (B, T, C)"
_SHIFT = "\n        x = x + {} * F.pad(x, (0, 0, 1, -1))"
_SITE = "insert-token-shift@a:GPT.forward/stmt.x?scale=0.3"


class InsertTokenShift(EditKind):
    """Add the embedding of the position before, scaled: `x = x + 0.3 * F.pad(x, (0, 0, 1, -1))`.

    Why: pairs of tokens are seen before any attention; it solves associative recall and helps language models. Source: RWKV, Peng et al.
    2023 (arXiv:2305.13048), token shift; modded-nanoGPT's smear. It looks back one position and never ahead. Not offered where the
    second dimension is not plainly the position, nor where a cache is passed, since then the position before is not there.
    """

    name = "insert-token-shift"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(more="", size=_BATCH, x=_SUM)},
            _SITE,
            {"a.py": _NET.format(more="", size=_BATCH, x=_SUM + _SHIFT.format(0.3))},
        ),
        Example(
            {
                "a.py": _NET.format(
                    more=", targets=None", size=_BATCH, x="x = self.wte(idx)\n        x = x + self.wpe(pos)"
                )
            },
            "insert-token-shift@a:GPT.forward/stmt.x?scale=1.0",
            {
                "a.py": _NET.format(
                    more=", targets=None",
                    size=_BATCH,
                    x="x = self.wte(idx)" + _SHIFT.format(1.0) + "\n        x = x + self.wpe(pos)",
                )
            },
        ),
        Example(
            {"a.py": _NET.format(more="", size="t = 4\n        n = torch.arange(idx.shape[1])", x="x = self.wte(idx)")},
            _SITE,
            {
                "a.py": _NET.format(
                    more="",
                    size="t = 4\n        n = torch.arange(idx.shape[1])",
                    x="x = self.wte(idx)" + _SHIFT.format(0.3),
                )
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(more="", size=_BATCH, x=_SUM + _SHIFT.format(0.1))}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _NET.format(more="", size="t = len(idx)", x=_SUM)}, _SITE, Reason.UNKNOWN_VALUE),
        Refusal({"a.py": _NET.format(more=", kv_cache=None", size=_BATCH, x=_SUM)}, _SITE, Reason.UNKNOWN_VALUE),
        Refusal({"a.py": _NET.format(more="", size=_BATCH, x="x = idx")}, _SITE, Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How much of it, behind the statement that looks up the embeddings of tokens (B, T)."""
        if site.label in NO_VALUE or not forward_of_module(graph, site) or not embeds(graph, site):
            return Reason.NO_SITE
        if not tokens_of(graph, site):
            return Reason.UNKNOWN_VALUE
        return Reason.ALREADY if looks_back(graph, site) else choose(scale=_SCALES)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Add it in a statement of its own."""
        pad, imports = spell(graph, site, f"{FUNCTIONAL}.pad")
        x = site.label
        return (*imports, InsertStmt(site, f"{x} = {x} + {choice['scale']} * {pad}({x}, (0, 0, 1, -1))"))


KIND = InsertTokenShift()
