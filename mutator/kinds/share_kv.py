"""share-kv: let several heads share their keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.constants import World, readings
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.groups import GROUPS, HEADS, NN
from mutator.intents import Intent, SetArg
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.stated import keyword

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOURCE = """\
from dataclasses import dataclass
import torch.nn.functional as F
from torch import nn
@dataclass
class Config:
    n_head: int = 6
    n_kv_head: int = 6
    n_embd: int = 768
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.n_kv_head, self.n_embd = config.n_head, config.n_kv_head, config.n_embd
        self.head_dim = self.n_embd // self.n_head
        assert self.n_head % self.n_kv_head == 0
        self.c_q = nn.Linear(self.n_embd, self.n_head * self.head_dim)
        self.c_k = nn.Linear(self.n_embd, self.n_kv_head * self.head_dim)
        self.c_v = nn.Linear(self.n_embd, self.n_kv_head * self.head_dim)
    def forward(self, x):
        B, T, C = x.size()
        q = self.c_q(x).view(B, T, self.n_head, self.head_dim).transpose(1, 2)
        k = self.c_k(x).view(B, T, self.n_kv_head, self.head_dim).transpose(1, 2)
        v = self.c_v(x).view(B, T, self.n_kv_head, self.head_dim).transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True{gqa})
def build(depth):
    heads = depth * 64 // 128
    config = Config(n_head=heads, {kv}n_embd=128 * heads)
    return Attention(config)
model = build({depth})
"""
_GQA = ", enable_gqa=True"


class ShareKv(EditKind):
    """Halve the key and value heads, or keep one: grouped-query attention, where the code has such a field.

    Why: keys and values are most of what attention reads, and several query heads get along with one of them; the weights saved may go
    elsewhere. Source: Ainslie et al. 2023 (arXiv:2305.13245); one for all: Shazeer 2019 (arXiv:1911.02150). Not offered: where torch's own
    attention is called without `enable_gqa`, which would not broadcast, and where the heads are no even multiple.
    """

    name = "share-kv"
    family = Family.BLOCK
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=heads, ", depth=8)},
            "share-kv@a:build/call.Config?by=2",
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=heads // 2, ", depth=8)},
        ),
        Example(
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=4, ", depth=8)},
            "share-kv@a:build/call.Config?by=4",
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=1, ", depth=8)},
        ),
        Example(
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=1 + heads - 1, ", depth=8)},
            "share-kv@a:build/call.Config?by=2",
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=(1 + heads - 1) // 2, ", depth=8)},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _SOURCE.format(gqa="", kv="n_kv_head=heads, ", depth=8)},
            "share-kv@a:build/call.Config?by=2",
            Reason.SHAPE,
        ),
        Refusal(
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=heads, ", depth=6)},
            "share-kv@a:build/call.Config?by=2",
            Reason.SHAPE,
        ),
        Refusal(
            {"a.py": _SOURCE.format(gqa=_GQA, kv="", depth=8)}, "share-kv@a:build/call.Config?by=2", Reason.NO_SITE
        ),
        Refusal(
            {"a.py": _SOURCE.format(gqa=_GQA, kv="n_kv_head=heads, ", depth=8)},
            "share-kv@a:build/call.Attention?by=2",
            Reason.NO_SITE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """By how much, at a call that makes a configuration with key and value heads."""
        if not graph.targets(site.slot, EdgeKind.INSTANTIATES):
            return Reason.NO_SITE
        given = {argument.name: argument for argument in read_call(graph, site).arguments}
        groups = next((name for name in given if GROUPS.search(name)), "")
        heads = next((name for name in given if HEADS.search(name)), "")
        if not groups or not heads:
            return Reason.NO_SITE
        kept, whole = (_numbers(graph, site, name) for name in (groups, heads))
        if not kept or kept.keys() != whole.keys():
            return Reason.UNKNOWN_VALUE
        by = [n for n in (2, 4) if all(kept[w] % n == 0 and whole[w] % (kept[w] // n) == 0 for w in kept)]
        return choose(by=by) if by and _broadcasts(graph) else Reason.SHAPE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Divide what is given."""
        argument = next(a for a in read_call(graph, site).arguments if GROUPS.search(a.name))
        by = int(choice["by"])
        text = (
            str(int(argument.value) // by)
            if argument.value.isdigit()
            else fill("{left} // {right}", left=argument.value, right=str(by))
        )
        return (SetArg(site, argument.name, text),)


def _numbers(graph: CodeGraph, site: Node, name: str) -> dict[World, int]:
    """Return the values that an argument may have, by world; none when any of them is unknown or no whole number."""
    expression = keyword(graph.syntax(site), name)
    found = readings(graph, expression, site.scope, site.path) if expression is not None else ()
    numbers = {r.world: r.value for r in found if type(r.value) is int and r.value > 0}
    return numbers if len(numbers) == len(found) else {}


def _broadcasts(graph: CodeGraph) -> bool:
    """Whether every call of torch's own attention in the sources lets keys and values be fewer."""
    calls = (n for n in graph.of_kind(NodeKind.CALL) if n.label == "scaled_dot_product_attention")
    return all(
        read_call(graph, call).keyword("enable_gqa") is not None
        for call in calls
        if any(slot.startswith(f"{NN}functional.") for slot in graph.callees(call))
    )


KIND = ShareKv()
