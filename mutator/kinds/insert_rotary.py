"""insert-rotary: rotate queries and keys by their positions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import spell
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.facts import is_torch_module
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import unused
from mutator.tensors import attention_of, is_stateful, writers

if TYPE_CHECKING:
    from collections.abc import Mapping

_BASES = Between(10.0, 1_000_000.0, (1_000.0, 10_000.0, 100_000.0))
_ROTATED = re.compile(r"rotary|rotate|\brope\b|rope_|_rope|alibi|relative_pos|rel_pos|freqs", re.IGNORECASE)
_NAME = "rotate_by_position"
_FUNCTION = '''\
def rotate_by_position(x, base):
    """Turn pairs of channels by an angle that grows with the position. x: (..., T, D). Source: RoFormer, arXiv:2104.09864."""
    half = x.shape[-1] // 2
    frequencies = base ** (-{torch}arange(half, device=x.device) / half)  # (D / 2,)
    angles = {torch}arange(x.shape[-2], device=x.device)[:, None] * frequencies  # (T, D / 2)
    cos, sin = angles.cos().type_as(x), angles.sin().type_as(x)
    x1, x2, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return {torch}cat([x1 * cos + x2 * sin, x2 * cos - x1 * sin, rest], dim=-1)


'''
_NET = """\
import torch
import torch.nn.functional as F
from torch import nn


{rotary}class Attention(nn.Module):
    def __init__(self, n, heads):
        super().__init__()
        self.heads, self.qkv = heads, nn.Linear(n, 3 * n)
    def forward(self, x{more}):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = q.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, H, T, D)
        k = k.unflatten(2, (self.heads, -1)).transpose(1, 2)
        v = v.unflatten(2, (self.heads, -1)).transpose(1, 2)
        {body}
"""
_SDPA = "return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)"
_MANUAL = "att = (q @ k.transpose(-2, -1)).softmax(-1)\n        return att @ v"
_CALL = "q, k = rotate_by_position(q, {0}), rotate_by_position(k, {0})\n        "
_HELD = _FUNCTION.format(torch="torch.")
_SITE = "insert-rotary@a:Attention.forward?base=10000.0"


class InsertRotary(EditKind):
    """Rotate queries and keys by their positions before they meet, on top of whatever positions there are.

    Why: attention then depends on distances; -5 % loss on a small language model with learned positions. Source: RoFormer, Su et al. 2021
    (arXiv:2104.09864). Without weights or state; a function is added to the file. Offered where they meet as (..., T, D). Not offered where
    something is rotated already, nor where a cache is passed, since positions then do not start at zero.
    """

    name = "insert-rotary"
    family = Family.BLOCK
    at = NodeKind.FUNCTION
    examples = (
        Example(
            {"a.py": _NET.format(rotary="", more="", body=_SDPA)},
            _SITE,
            {"a.py": _NET.format(rotary=_HELD, more="", body=_CALL.format(10000.0) + _SDPA)},
        ),
        Example(
            {"a.py": _NET.format(rotary="", more="", body=_MANUAL)},
            "insert-rotary@a:Attention.forward?base=1000.0",
            {"a.py": _NET.format(rotary=_HELD, more="", body=_CALL.format(1000.0) + _MANUAL)},
        ),
        Example(
            {"a.py": _NET.format(rotary="", more=", mask=None", body=_SDPA)},
            "insert-rotary@a:Attention.forward?base=100000.0",
            {"a.py": _NET.format(rotary=_HELD, more=", mask=None", body=_CALL.format(100000.0) + _SDPA)},
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(rotary=_HELD, more="", body=_CALL.format(9.0) + _SDPA)}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _NET.format(rotary="", more=", kv_cache=None", body=_SDPA)}, _SITE, Reason.UNKNOWN_VALUE),
        Refusal({"a.py": _NET.format(rotary="", more="", body="return q")}, _SITE, Reason.NO_SITE),
        Refusal({"a.py": _NET.format(rotary="", more="", body=_SDPA)}, _SITE.replace("10000.0", "1.0"), Reason.NO_CHOICE),
        Refusal({"a.py": _NET.format(rotary="", more="", body="return flash_attn_func(q, k, v)")}, _SITE, Reason.UNKNOWN_VALUE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """With which base, in a `forward` in which queries and keys meet."""
        if site.label != "forward" or not site.scope or not is_torch_module(graph, site.scope):
            return Reason.NO_SITE
        found = attention_of(graph, site)
        if found is None:
            return Reason.NO_SITE
        if _ROTATED.search(graph.text(graph.nodes[site.scope])):
            return Reason.ALREADY
        bound = all(writers(graph, site, name) for name in (found.q, found.k))
        if (
            found.external
            or is_stateful(graph, site)
            or not bound
            or graph.nodes[graph.nodes[site.scope].scope].kind is not NodeKind.MODULE
        ):
            return Reason.UNKNOWN_VALUE
        return choose(base=_BASES) if unused(graph, site, _NAME) else Reason.NAME_CLASH

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Add the function above the class, and rotate before the attention."""
        found = attention_of(graph, site)
        if found is None:  # the domain said that there is one
            return ()
        torch, imports = spell(graph, site, "torch.cat")
        q, k, base = found.q, found.k, choice["base"]
        text = f"{q}, {k} = {_NAME}({q}, {base}), {_NAME}({k}, {base})"
        function = _FUNCTION.format(torch=torch.removesuffix("cat"))
        return (
            *imports,
            InsertStmt(graph.nodes[site.scope], function[:-1], before=True),
            InsertStmt(found.statement, text, before=True),
        )


KIND = InsertRotary()
