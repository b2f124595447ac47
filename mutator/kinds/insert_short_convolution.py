"""insert-short-convolution: mix the last few positions of each channel."""

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
from mutator.modules import embedding_width, free_name, refuses_weights
from mutator.tensors import NO_VALUE, embeds, tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAPS = Between(2, 16, (3, 4))
_NET = """\
import torch
import torch.nn.functional as F
from torch import nn
class GPT(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.wte, self.head = nn.Embedding(8, n), nn.Linear(n, 8){made}
    def forward(self, idx, targets=None):
        b, t = idx.shape
        x = self.wte(idx)  # (b, t, n){x}
        return self.head(x)
"""
_MADE = "\n        self.taps = nn.Parameter(torch.zeros(n, 1, {}))"
_CONV = """
        past = F.pad(x.transpose(1, 2), ({}, 0))  # looks back only
        x = x + F.conv1d(past, self.taps, groups=x.shape[-1]).transpose(1, 2)"""
_SITE = "insert-short-convolution@a:GPT.forward/stmt.x?taps="


class InsertShortConvolution(EditKind):
    """Add a causal depthwise convolution over the last positions to the embeddings; it starts at zero.

    Why: it alone solves associative recall, and language models gain from local order before the first attention. Source: Primer, So et
    al. 2021 (arXiv:2109.08668); H3, Fu et al. 2022 (arXiv:2212.14052). It pads on the left, so no position sees a later one. Not offered
    where the second dimension is not plainly the position, a cache is passed, or new weights would not be trained.
    """

    name = "insert-short-convolution"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(made="", x="")},
            f"{_SITE}3",
            {"a.py": _NET.format(made=_MADE.format(3), x=_CONV.format(2))},
        ),
        Example(
            {"a.py": _NET.format(made="", x="")},
            f"{_SITE}4",
            {"a.py": _NET.format(made=_MADE.format(4), x=_CONV.format(3))},
        ),
        Example(
            {"a.py": _NET.format(made="\n        self.taps = 1", x="")},
            f"{_SITE}4",
            {
                "a.py": _NET.format(
                    made=_MADE.format(4).replace("taps", "taps_2") + "\n        self.taps = 1",
                    x=_CONV.format(3).replace("taps", "taps_2"),
                )
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(made=_MADE.format(3), x=_CONV.format(2))}, f"{_SITE}3", Reason.ALREADY),
        Refusal({"a.py": _NET.format(made="", x="").replace("targets", "cache")}, f"{_SITE}3", Reason.UNKNOWN_VALUE),
        Refusal(
            {"a.py": _NET.format(made="", x="") + "GPT(9).to_empty(device='cpu')\n"}, f"{_SITE}3", Reason.UNKNOWN_VALUE
        ),
        Refusal({"a.py": _NET.format(made="", x="").replace("self.wte(idx)", "idx")}, f"{_SITE}3", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Over how many positions, behind the statement that looks up the embeddings of tokens (B, T)."""
        if site.label in NO_VALUE or not forward_of_module(graph, site) or not embeds(graph, site):
            return Reason.NO_SITE
        if "conv1d" in graph.text(graph.nodes[site.scope]):
            return Reason.ALREADY
        if not tokens_of(graph, site) or not embedding_width(graph, site)[0] or graph.bindings("past", site.scope):
            return Reason.UNKNOWN_VALUE
        return refuses_weights(graph) or choose(taps=_TAPS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Make the weights behind the embedding, and convolve behind the look-up."""
        owner = graph.nodes[graph.nodes[site.scope].scope]
        width, after = embedding_width(graph, site)
        if after is None:  # the domain said that there is one
            return ()
        x, name, taps = site.label, free_name(graph, owner.slot, "taps"), int(choice["taps"])
        parameter, imports = spell(graph, after, "torch.nn.Parameter")
        zeros, more = spell(graph, after, "torch.zeros")
        pad, again = spell(graph, site, f"{FUNCTIONAL}.pad")
        text = (
            f"past = {pad}({x}.transpose(1, 2), ({taps - 1}, 0))  # looks back only\n"
            f"{x} = {x} + {pad.removesuffix('pad')}conv1d(past, self.{name}, groups={x}.shape[-1]).transpose(1, 2)"
        )
        made = f"self.{name} = {parameter}({zeros}({width}, 1, {taps}))"
        return (*imports, *more, *again, InsertStmt(after, made), InsertStmt(site, text))


KIND = InsertShortConvolution()
