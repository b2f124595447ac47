"""swap-attention: another temperature of the softmax over the keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from graph.arguments import Argument, read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, text_of
from mutator.callees import argument_of, runs_only, spell
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.facts import FUNCTIONAL, is_torch_module
from mutator.intents import Intent, ReplaceExpr, SetArg, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_SDPA = f"{FUNCTIONAL}.scaled_dot_product_attention"
_FLASH = re.compile(r"flash_attn_(func|varlen_func|with_kvcache)")
_FACTORS = {"half": 0.5, "softer": 0.7, "sharper": 1.4, "double": 2.0}
_COSINE = 10.0  # its logits lie between -10 and 10
_METHOD = """\
import torch
from torch import nn
import torch.nn.functional as F
class Attention(nn.Module):
    def forward(self, x, k, v):
        q = self.q(x)
{body}
"""


class _Use(NamedTuple):
    """One place where queries meet keys."""

    node: Node  # the call; for a product written out, that which transposes the keys
    q: Argument | None  # None where the product is written out
    k: Argument | None
    scale: str  # the name of the argument that scales; empty when the queries themselves must be


class SwapAttention(EditKind):
    """Swap the scale of attention: a factor on 1/sqrt(d), 1/d, or normalised queries and keys. What may be attended to stays as it is.

    Why: nanochat trains with 1.2 on queries and keys each; 1/d keeps the logits as a model grows wider. All places of a method are changed
    alike, so that training, decoding and a fallback without a fused kernel compute the same.
    Source: Yang et al. 2022 (muP, arXiv:2203.03466) for 1/d; Henry et al. 2020 (arXiv:2010.04245) for normalised queries and keys.
    Not offered: masks, windows and causality, and functions that several modules may share.
    """

    name = "swap-attention"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _METHOD.format(body="        return F.scaled_dot_product_attention(q, k, v, is_causal=True)")},
            "swap-attention@a:Attention.forward/call.scaled_dot_product_attention?to=mup",
            {
                "a.py": _METHOD.format(
                    body="        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0 / q.size(-1))"
                )
            },
        ),
        Example(
            {"a.py": _METHOD.format(body="        return F.scaled_dot_product_attention(q, k, v, scale=self.scale)")},
            "swap-attention@a:Attention.forward/call.scaled_dot_product_attention?to=half",
            {
                "a.py": _METHOD.format(
                    body="        return F.scaled_dot_product_attention(q, k, v, scale=0.5 * self.scale)"
                )
            },
        ),
        Example(
            {"a.py": _METHOD.format(body="        return F.scaled_dot_product_attention(q, k, v, is_causal=True)")},
            "swap-attention@a:Attention.forward/call.scaled_dot_product_attention?to=cosine",
            {
                "a.py": _METHOD.format(
                    body="        return F.scaled_dot_product_attention("
                    "F.normalize(q, dim=-1), F.normalize(k, dim=-1), v, is_causal=True, scale=10.0)"
                )
            },
        ),
        Example(
            {
                "a.py": _METHOD.format(
                    body="        att = (q @ k.transpose(-2, -1)) / 8\n        return F.softmax(att, dim=-1) @ v"
                )
            },
            "swap-attention@a:Attention.forward/call.transpose?to=double",
            {
                "a.py": _METHOD.format(
                    body="        att = (2.0 * q @ k.transpose(-2, -1)) / 8\n        return F.softmax(att, dim=-1) @ v"
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {
                "a.py": "import torch.nn.functional as F\ndef attention(q, k, v):\n    return F.scaled_dot_product_attention(q, k, v)\n"
            },
            "swap-attention@a:attention/call.scaled_dot_product_attention?to=half",
            Reason.SHARED,
        ),
        Refusal({"a.py": "y = w @ w.transpose(-2, -1)\n"}, "swap-attention@a:/call.transpose?to=half", Reason.NO_SITE),
        Refusal(
            {"a.py": _METHOD.format(body="        return F.scaled_dot_product_attention(*qkv)")},
            "swap-attention@a:Attention.forward/call.scaled_dot_product_attention?to=half",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {
                "a.py": _METHOD.format(
                    body="        q = norm(q)\n        return F.scaled_dot_product_attention(q, k, v)"
                )
            },
            "swap-attention@a:Attention.forward/call.scaled_dot_product_attention?to=cosine",
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The scales that every place of the function where queries meet keys can take; the first one is the site."""
        if not _is_attention(graph, site):
            return Reason.NO_SITE
        owner = graph.nodes[site.scope].scope
        if not owner or not is_torch_module(graph, owner) or _uses(graph, site)[0] is not site:
            return Reason.SHARED
        fits = [to for to in (*_FACTORS, "mup", "cosine") if self._planned(graph, site, to)]
        return choose(to=fits) if fits else Reason.UNKNOWN_VALUE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Scale the logits where queries meet keys: by the argument for it, else by the queries."""
        return self._planned(graph, site, str(choice["to"]))

    def _planned(self, graph: CodeGraph, site: Node, to: str) -> tuple[Intent, ...]:
        planned: list[Intent] = []
        for node in _uses(graph, site):
            use = _read(graph, node)
            one = () if use is None else _cosine(graph, use) if to == "cosine" else _scaled(graph, use, to)
            if not one:
                return ()
            planned += one
        return tuple(planned)


def _is_attention(graph: CodeGraph, call: Node) -> bool:
    if call.label == "scaled_dot_product_attention":
        return runs_only(graph, call) == _SDPA
    if _FLASH.fullmatch(call.label):
        return True
    outer = graph.parent(call)
    return (
        call.label == "transpose" and outer is not None and outer.label == "matmul" and outer.end == call.end
        and re.search(r"\(\s*(-2, *-1|-1, *-2|2, *3)\s*\)$", graph.text(call)) is not None
        and "softmax(" in graph.text(graph.nodes[call.scope])
    )  # fmt: skip


def _uses(graph: CodeGraph, site: Node) -> list[Node]:
    return [
        n
        for n in graph.files[site.path].nodes
        if n.kind is NodeKind.CALL and n.scope == site.scope and _is_attention(graph, n)
    ]


def _read(graph: CodeGraph, call: Node) -> _Use | None:
    if call.label == "transpose":
        return _Use(call, None, None, "")
    q, k = (
        argument_of(graph, call, "query" if "dot" in call.label else "q", 0),
        argument_of(graph, call, "key" if "dot" in call.label else "k", 1),
    )
    if q is None or read_call(graph, call).starred:
        return None
    ours = any(graph.nodes[slot].path for slot in graph.callees(call))
    return _Use(call, q, k, "" if ours else "scale" if "dot" in call.label else "softmax_scale")


def _scaled(graph: CodeGraph, use: _Use, to: str) -> tuple[Intent, ...]:
    span, q = _query(graph, use)
    plain = re.fullmatch(r"[A-Za-z_][\w.]*", q) is not None
    now = argument_of(graph, use.node, use.scale, -1) if use.scale else None
    if now is not None:
        known = to != "mup" and now.value != "None"
        return (SetArg(use.node, use.scale, fill(f"{_FACTORS[to]} * {{now}}", now=now.value)),) if known else ()
    if use.scale and plain:
        return (
            SetArg(
                use.node, use.scale, f"1.0 / {q}.size(-1)" if to == "mup" else f"{_FACTORS[to]} * {q}.size(-1) ** -0.5"
            ),
        )
    if to == "mup":
        return (ReplaceExpr(span, f"{q} * {q}.size(-1) ** -0.5"),) if plain else ()
    return (ReplaceExpr(span, fill(f"{_FACTORS[to]} * {{q}}", q=q)),)


def _query(graph: CodeGraph, use: _Use) -> tuple[Span, str]:
    path = use.node.path
    if use.q is not None:
        return Span(path, use.q.value_start, use.q.end), use.q.value
    product = graph.parent(use.node)
    if product is None:  # it is a factor of one
        raise ValueError(use.node.slot)
    left = field_of(graph.syntax(product), "left")
    return Span(path, left.start_byte, left.end_byte), text_of(left)


def _cosine(graph: CodeGraph, use: _Use) -> tuple[Intent, ...]:
    """Normalise queries and keys at the call; not where they are normalised before, or another scale is set."""
    if not use.scale or use.q is None or use.k is None or argument_of(graph, use.node, use.scale, -1):
        return ()
    function = graph.text(graph.nodes[use.node.scope])
    if any(re.search(rf"norm\w*\(\s*{re.escape(a.value)}\b", function) for a in (use.q, use.k)):
        return ()
    text, imports = spell(graph, use.node, f"{FUNCTIONAL}.normalize")
    spans = [(Span(use.node.path, a.value_start, a.end), a.value) for a in (use.q, use.k)]
    return (
        *imports,
        *(ReplaceExpr(span, f"{text}({value}, dim=-1)") for span, value in spans),
        SetArg(use.node, use.scale, str(_COSINE)),
    )


KIND = SwapAttention()
