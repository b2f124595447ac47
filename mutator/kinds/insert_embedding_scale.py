"""insert-embedding-scale: scale the embeddings that enter a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain, OneOf, choose
from mutator.edit import Scalar
from mutator.effects import next_statement
from mutator.facts import calls_in, forward_of_module
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.tensors import is_embedding, is_norm

if TYPE_CHECKING:
    from collections.abc import Mapping

_FACTORS = (0.5, 2.0, 4.0)
_NET = """\
from torch import nn
class GPT(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.transformer = nn.ModuleDict(dict(wte=nn.Embedding(8, n), wpe=nn.Embedding(8, n), ln=nn.LayerNorm(n)))
    def forward(self, idx, pos):
        {body}
        return x
"""
_SUM = "x = {} + self.transformer.wpe(pos)  # (B, T, C)"
_WTE = "self.transformer.wte(idx)"
_SITE = "insert-embedding-scale@a:GPT.forward/call.wte?by="


class InsertEmbeddingScale(EditKind):
    """Multiply what an embedding gives by the root of its width, or by a factor.

    Why: it sets how large the stream is beside what the blocks add, and how fast the embedding learns; -4 % on a small language model.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.4; Gemma, 2024 (arXiv:2403.08295). Not offered where the product is normalised
    right away, which takes the factor out again, nor for what is scaled already.
    """

    name = "insert-embedding-scale"
    family = Family.INSERT
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _NET.format(body=_SUM.format(_WTE))},
            f"{_SITE}sqrt",
            {"a.py": _NET.format(body=_SUM.format(f"{_WTE} * self.transformer.wte.embedding_dim**0.5"))},
        ),
        Example(
            {"a.py": _NET.format(body=f"x = {_WTE}")},
            f"{_SITE}2.0",
            {"a.py": _NET.format(body=f"x = {_WTE} * 2.0")},
        ),
        Example(
            {"a.py": _NET.format(body=_SUM.format(_WTE))},
            "insert-embedding-scale@a:GPT.forward/call.wpe?by=0.5",
            {"a.py": _NET.format(body=_SUM.format(_WTE).replace("wpe(pos)", "wpe(pos) * 0.5"))},
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(body=_SUM.format(f"3 * {_WTE}"))}, f"{_SITE}2.0", Reason.ALREADY),
        Refusal({"a.py": _NET.format(body=f"x = self.transformer.ln({_WTE})")}, f"{_SITE}2.0", Reason.NO_EFFECT),
        Refusal({"a.py": _NET.format(body=f"x = {_WTE}\n        x = self.transformer.ln(x)")}, f"{_SITE}2.0", Reason.NO_EFFECT),
        Refusal({"a.py": _NET.format(body=f"x = {_WTE}")}, "insert-embedding-scale@a:GPT.__init__/call.Embedding?by=2.0", Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """By how much, at every call of an embedding in a `forward`."""
        if not forward_of_module(graph, site) or not is_embedding(graph, site):
            return Reason.NO_SITE
        outer, statement = graph.parent(site), graph.statement(site)
        if outer is not None and outer.kind is NodeKind.OPERATOR and outer.label in ("mul", "div"):
            return Reason.ALREADY
        if statement is None or any(
            is_norm(graph, c) for c in calls_in(graph, statement) if c.start <= site.start < c.end
        ):
            return Reason.NO_EFFECT
        following = next_statement(graph, statement)
        alone = graph.text(statement) == f"{statement.label} = {graph.text(site)}"
        if alone and following is not None and any(is_norm(graph, c) for c in calls_in(graph, following)):
            return Reason.NO_EFFECT
        return choose(
            by=OneOf(("sqrt", *_FACTORS) if read_call(graph, site).function.startswith("self.") else _FACTORS)
        )

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Multiply the call."""
        by = f"{read_call(graph, site).function}.embedding_dim**0.5" if choice["by"] == "sqrt" else choice["by"]
        return (ReplaceExpr(site, f"{graph.text(site)} * {by}"),)


KIND = InsertEmbeddingScale()
