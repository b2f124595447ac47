"""insert-qk-norm: normalise queries and keys before they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.facts import is_torch_module
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.tensors import NORMS, Attention, attention_of, is_rotary, normed, qk_normed, writers

if TYPE_CHECKING:
    from collections.abc import Mapping

_NET = """\
import torch.nn.functional as F
from torch import nn
class Attention(nn.Module):
    def __init__(self, n, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(n, 3 * n)
    def forward(self, x, cos, sin):
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, T, D)
        {body}
"""
_SDPA = "y = F.scaled_dot_product_attention(q, k, v, is_causal=True)\n        return y.transpose(1, 2).flatten(2)"
_MANUAL = """\
if self.training:
            att = (q @ k.transpose(-2, -1)) * (C // self.heads) ** -0.5
            y = F.softmax(att.masked_fill(self.mask, -1e9), dim=-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y"""
_NORM = "q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])\n        "
_ROPE = "q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)\n        "
_WRAPPED = "def norm(x):\n    return F.rms_norm(x, (x.size(-1),))\nclass Attention"
_SITE = "insert-qk-norm@a:Attention.forward?norm=rms&place=after"


class InsertQkNorm(EditKind):
    """Normalise queries and keys over the size of a head, just before they meet or before they are rotated.

    Why: it bounds the logits of the attention, so that higher learning rates are stable; nearly all speed runs have it. Source: Henry et
    al. 2020 (arXiv:2010.04245); ViT-22B, Dehghani et al. 2023 (arXiv:2302.05442). Without weights, in the words of the file where it has a
    function for it. Not offered where queries or keys are normalised already, or are no plain names.
    """

    name = "insert-qk-norm"
    family = Family.INSERT
    at = NodeKind.FUNCTION
    examples = (
        Example({"a.py": _NET.format(body=_SDPA)}, _SITE, {"a.py": _NET.format(body=_NORM + _SDPA)}),
        Example(
            {"a.py": _NET.format(body=_MANUAL)},
            "insert-qk-norm@a:Attention.forward?norm=layer&place=after",
            {"a.py": _NET.format(body=_NORM.replace("rms", "layer") + _MANUAL)},
        ),
        Example(
            {"a.py": _NET.format(body=_ROPE + _SDPA).replace("class Attention", _WRAPPED)},
            "insert-qk-norm@a:Attention.forward?norm=rms&place=before-rotation",
            {
                "a.py": _NET.format(body="q, k = norm(q), norm(k)\n        " + _ROPE + _SDPA).replace(
                    "class Attention", _WRAPPED
                )
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(body=_NORM + _SDPA)}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _NET.format(body="return x")}, _SITE, Reason.NO_SITE),
        Refusal({"a.py": _NET.format(body=_SDPA)}, f"{_SITE.partition('=')[0]}=rms&place=before-rotation", Reason.NO_CHOICE),
        Refusal({"a.py": _NET.format(body=_SDPA.replace("(q, k,", "(q[0], k[0],"))}, _SITE, Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How, and where, in a `forward` in which queries and keys meet."""
        if site.label != "forward" or not site.scope or not is_torch_module(graph, site.scope):
            return Reason.NO_SITE
        found = attention_of(graph, site)
        if found is None:
            return Reason.NO_SITE
        if qk_normed(graph, site, found.q, found.k):
            return Reason.ALREADY
        return choose(norm=NORMS, place=["after", *(["before-rotation"] if _rotation(graph, site, found) else [])])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put one statement before the attention, or before the rotation."""
        found = attention_of(graph, site)
        if found is None:  # the domain said that there is one
            return ()
        rotation = _rotation(graph, site, found) if choice["place"] != "after" else None
        anchor = rotation if rotation is not None else found.statement
        (q, imports), (k, _) = (normed(graph, anchor, str(choice["norm"]), x) for x in (found.q, found.k))
        if found.external and not imports and "." not in q.partition("(")[0]:
            return (InsertStmt(anchor, f"{found.q}, {found.k} = {q}, {k}", before=True),)
        cast = [f"{text}.type_as({x})" if found.external else text for text, x in ((q, found.q), (k, found.k))]
        return (*imports, InsertStmt(anchor, f"{found.q}, {found.k} = {cast[0]}, {cast[1]}", before=True))


def _rotation(graph: CodeGraph, function: Node, found: Attention) -> Node | None:
    """Return the first statement that rotates both queries and keys, or the queries right before the keys."""
    both = [n for n in writers(graph, function, found.q) if is_rotary(graph, n) and n.start < found.statement.start]
    keys = writers(graph, function, found.k)
    return (
        both[0] if both and graph.parent(both[0]) == function and any(n.start < both[0].start for n in keys) else None
    )


KIND = InsertQkNorm()
