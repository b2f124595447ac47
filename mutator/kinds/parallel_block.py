"""parallel-block: compute two residual sublayers from one input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.effects import next_statement
from mutator.intents import DeleteStmt, Intent, ReplaceStmt
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.tensors import Branch, branch_of, span_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = """\
import torch.nn.functional as F
from torch import nn
def norm(x):
    return F.rms_norm(x, (x.size(-1),))
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
    def forward(self, x, ve=None):
        return self.c_proj(x)
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn, self.mlp = Attention(config), Attention(config)
        self.ln_1, self.ln_2 = nn.LayerNorm(config.n_embd), nn.LayerNorm(config.n_embd)
    def forward(self, x, ve):
        {updates}
        return x
"""
_SITE = "parallel-block@a:Block.forward/stmt.x"


class ParallelBlock(EditKind):
    """Give two residual sublayers that follow each other one input: `x = x + attn(norm(x)) + mlp(norm(x))`.

    Why: the two do not wait for each other, and at scale nothing is lost; on a small language model it gained 3 %. Source: GPT-J, Wang
    2021; PaLM, Chowdhery et al. 2022 (arXiv:2204.02311), section 2. Each keeps its own norm. Not offered where the second needs what the
    first one gives under another name.
    """

    name = "parallel-block"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {
                "a.py": _BLOCK.format(
                    updates="x = x + self.attn(norm(x), ve)  # (B, T, C)\n        x = x + self.mlp(norm(x))"
                )
            },
            _SITE,
            {"a.py": _BLOCK.format(updates="x = x + self.attn(norm(x), ve) + self.mlp(norm(x))  # (B, T, C)")},
        ),
        Example(
            {
                "a.py": _BLOCK.format(
                    updates="x += self.attn(self.ln_1(x))\n        x = 0.5 * self.mlp(self.ln_2(x)) + x"
                )
            },
            _SITE,
            {"a.py": _BLOCK.format(updates="x = x + self.attn(self.ln_1(x)) + 0.5 * self.mlp(self.ln_2(x))")},
        ),
        Example(
            {
                "a.py": _BLOCK.format(
                    updates="# look\n        x = x + self.attn(x)\n\n        # think\n        x = x + self.mlp(x)\n"
                )
            },
            _SITE,
            {"a.py": _BLOCK.format(updates="# look\n        x = x + self.attn(x) + self.mlp(x)\n\n        # think\n")},
        ),
    )
    refusals = (
        Refusal({"a.py": _BLOCK.format(updates="x = x + self.attn(x)\n        y = x")}, _SITE, Reason.ORDER),
        Refusal({"a.py": _BLOCK.format(updates="x = self.attn(x)\n        x = x + self.mlp(x)")}, _SITE, Reason.NO_SITE),
        Refusal({"a.py": _BLOCK.format(updates="x = x + self.attn(x)\n        x = x + self.mlp(x)")}, f"{_SITE}.1", Reason.ORDER),
        Refusal({"a.py": _BLOCK.format(updates="x = x + self.attn(y := x)\n        x = x + self.mlp(y)")}, _SITE, Reason.UNKNOWN_VALUE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every residual sublayer that is followed by another one on the same stream; there is nothing to choose."""
        first = branch_of(graph, site)
        if first is None:
            return Reason.NO_SITE
        second = _following(graph, site, first)
        if second is None:
            return Reason.ORDER
        texts = span_text(graph, first.place), span_text(graph, second[1].place)
        return NOTHING_TO_CHOOSE if not any(re.search(":=|#|\n", text) for text in texts) else Reason.UNKNOWN_VALUE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Add both in the first statement, and take the second one out."""
        first = branch_of(graph, site)
        second = _following(graph, site, first) if first is not None else None
        if first is None or second is None:  # the domain said that there are two
            return ()
        text = (
            f"{first.stream} = {first.stream} + {span_text(graph, first.place)} + {span_text(graph, second[1].place)}"
        )
        return (ReplaceStmt(site, text), DeleteStmt(second[0]))


def _following(graph: CodeGraph, statement: Node, first: Branch) -> tuple[Node, Branch] | None:
    following = next_statement(graph, statement)
    second = branch_of(graph, following) if following is not None else None
    same = second is not None and second.stream == first.stream
    return (following, second) if following is not None and second is not None and same else None


KIND = ParallelBlock()
