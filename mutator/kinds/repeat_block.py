"""repeat-block: run the stack of blocks several times, with the same weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import descend, dotted, field_of, parts, text_of
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.facts import forward_of_module, is_torch_module
from mutator.intents import Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.layout import whole_statement
from mutator.stated import call_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode

_ONCE = re.compile(r"cache|past_key|\bappend\b|\byield\b|\bbreak\b|\breturn\b|\bcontinue\b")
_GPT = """\
from torch import nn
class Block(nn.Module):
    def __init__(self, n, i):
        super().__init__()
        self.fc = nn.Linear(n, n)
    def forward(self, x, cache=None):
        return x + self.fc(x)
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed = nn.Embedding(config.vocab, config.n_embd)
        self.blocks = nn.ModuleList([Block(config.n_embd, i) for i in range(config.n_layer)])
        self.scales = nn.Parameter(config.ones)
    def forward(self, idx):
        x = self.embed(idx)
        for {loop}:
            {body}
        return x
"""
_BODY = "x = block(x)"
_SCALED = "x = self.scales[i] * x\n            x = block(x)  # (B, T, C)"


class RepeatBlock(EditKind):
    """Run all blocks twice (up to four times): the layers of the second round share the weights of the first.

    Why: depth in computation without depth in parameters. Lists by layer are indexed as before, since the loop counts anew in each round.
    Source: Dehghani et al. 2018 (arXiv:1807.03819); Lan et al. 2019 (arXiv:1909.11942). To run each block twice in a row, see
    repeat-statement. Not offered: loops that fill a cache or collect what the blocks give, for which layers must be met once.
    """

    name = "repeat-block"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _GPT.format(loop="block in self.blocks", body=_BODY)},
            "repeat-block@a:GPT.forward/stmt.for?n=2",
            {"a.py": _GPT.format(loop="block in list(self.blocks) * 2", body=_BODY)},
        ),
        Example(
            {"a.py": _GPT.format(loop="i, block in enumerate(self.blocks)", body=_SCALED)},
            "repeat-block@a:GPT.forward/stmt.for?n=3",
            {"a.py": _GPT.format(loop="i, block in list(enumerate(self.blocks)) * 3", body=_SCALED)},
        ),
        Example(
            {"a.py": _GPT.format(loop="i in range(len(self.blocks))", body="x = self.blocks[i](x)")},
            "repeat-block@a:GPT.forward/stmt.for?n=2",
            {"a.py": _GPT.format(loop="i in list(range(len(self.blocks))) * 2", body="x = self.blocks[i](x)")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _GPT.format(loop="block in self.blocks", body="x = block(x, self.cache)")},
            "repeat-block@a:GPT.forward/stmt.for?n=2",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _GPT.format(loop="block in self.blocks", body="y = block(x)")},
            "repeat-block@a:GPT.forward/stmt.for?n=2",
            Reason.SHAPE,
        ),
        Refusal(
            {"a.py": _GPT.format(loop="i in range(3)", body="x = x + i")},
            "repeat-block@a:GPT.forward/stmt.for?n=2",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"a.py": _GPT.format(loop="block in list(self.blocks) * 2", body=_BODY)},
            "repeat-block@a:GPT.forward/stmt.for?n=2",
            Reason.ALREADY,
        ),
        Refusal({"a.py": "for x in y:\n    x = f(x)\n"}, "repeat-block@a:/stmt.for?n=2", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How often, for a loop of `forward` that updates one name with the blocks of a container."""
        if site.label != "for" or not forward_of_module(graph, site):
            return Reason.NO_SITE
        loop = whole_statement(graph, site)
        blocks, body = field_of(loop, "right"), text_of(field_of(loop, "body"))
        if blocks.type not in ("attribute", "subscript", "call") or (
            blocks.type == "call" and dotted(field_of(blocks, "function")) not in ("enumerate", "range")
        ):
            return Reason.ALREADY if blocks.type == "binary_operator" else Reason.UNKNOWN_VALUE
        runs = [n for n in descend(field_of(loop, "body")) if n.type == "call" and _runs_module(graph, site.path, n)]
        if not runs:
            return Reason.NO_EFFECT
        if _ONCE.search(body):
            return Reason.SHARED
        return choose(n=Between(2, 4, (2, 3))) if any(_updates(n) for n in runs) else Reason.SHAPE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Repeat what the loop walks."""
        blocks = field_of(whole_statement(graph, site), "right")
        return (
            ReplaceExpr(
                Span(site.path, blocks.start_byte, blocks.end_byte), f"list({text_of(blocks)}) * {choice['n']}"
            ),
        )


def _runs_module(graph: CodeGraph, path: str, call: SyntaxNode) -> bool:
    """Whether a call runs a module of ours."""
    node = call_at(graph, path, call)
    callees = [graph.nodes[slot] for slot in graph.callees(node)] if node is not None else []
    return any(n.label == "forward" and is_torch_module(graph, n.scope) for n in callees)


def _updates(call: SyntaxNode) -> bool:
    """Whether a call stands in `x = block(x, ...)`."""
    outer, given = call.parent, parts(field_of(call, "arguments"))
    if outer is None or outer.type != "assignment" or not given:
        return False
    return field_of(outer, "left").type == "identifier" and text_of(field_of(outer, "left")) == text_of(given[0])


KIND = RepeatBlock()
