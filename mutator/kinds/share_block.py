"""share-block: let the blocks of a stack share their weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.constants import readings
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.groups import makes_module
from mutator.intents import Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.stated import call_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode

_GPT = """\
from dataclasses import dataclass
from torch import nn
@dataclass
class Config:
    n_embd: int = 64
    n_layer: int = {n}
class Block(nn.Module):
    def __init__(self, config, i=0):
        super().__init__()
        self.fc = nn.Linear(config.n_embd, config.n_embd)
    def forward(self, x):
        return x + self.fc(x)
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.parts = nn.ModuleDict(dict(
            h = nn.ModuleList({blocks}),  # the stack
        ))
model = GPT(Config())
"""
_EACH = "[Block(config) for _ in range(config.n_layer)]"
_SEQUENTIAL = "from torch import nn\ndef build(n, depth):\n    return nn.Sequential(*{})\n"


class ShareBlock(EditKind):
    """Build one block and use it at every layer, or each block at two layers in a row.

    Why: fewer parameters for the same computation; with the bytes or the time saved the model may be wider. `parameters()` and
    `named_modules()` meet a shared block once. Source: Lan et al. 2019 (arXiv:1909.11942), pairs: Liu et al. 2024 (arXiv:2402.14905).
    Not offered: blocks that are told their place, which would all have the same, and an odd number of layers for pairs.
    """

    name = "share-block"
    family = Family.BLOCK
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _GPT.format(n=6, blocks=_EACH)},
            "share-block@a:GPT.__init__/call.ModuleList?among=all",
            {"a.py": _GPT.format(n=6, blocks="[Block(config)] * config.n_layer")},
        ),
        Example(
            {"a.py": _GPT.format(n=6, blocks=_EACH)},
            "share-block@a:GPT.__init__/call.ModuleList?among=pairs",
            {
                "a.py": _GPT.format(
                    n=6,
                    blocks="[block for block in [Block(config) for _ in range(config.n_layer // 2)] for _ in range(2)]",
                )
            },
        ),
        Example(
            {"a.py": _SEQUENTIAL.format("[nn.Linear(n, n) for _ in range(depth - 1)]")},
            "share-block@a:build/call.Sequential?among=all",
            {"a.py": _SEQUENTIAL.format("[nn.Linear(n, n)] * (depth - 1)")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _GPT.format(n=6, blocks="[Block(config, i) for i in range(config.n_layer)]")},
            "share-block@a:GPT.__init__/call.ModuleList?among=all",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _GPT.format(n=7, blocks=_EACH)},
            "share-block@a:GPT.__init__/call.ModuleList?among=pairs",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": _GPT.format(n=6, blocks="[Block(config)] * 6")},
            "share-block@a:GPT.__init__/call.ModuleList?among=all",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _GPT.format(n=6, blocks=_EACH)},
            "share-block@a:GPT.__init__/call.ModuleDict?among=all",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _GPT.format(n=1, blocks=_EACH)},
            "share-block@a:GPT.__init__/call.ModuleList?among=all",
            Reason.NO_EFFECT,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Among all, or in pairs where the number of layers is known to be even."""
        built = _comprehension(graph, site) if site.label in ("ModuleList", "Sequential") else None
        if built is None:
            return Reason.NO_SITE
        block, name, count = built
        call = call_at(graph, site.path, block)
        if call is None or not makes_module(graph, call):
            return Reason.UNKNOWN_VALUE
        if re.search(rf"\b{name}\b", text_of(block)):
            return Reason.SHARED
        layers = [reading.value for reading in readings(graph, count, site.scope, site.path)]
        if any(n == 1 for n in layers):
            return Reason.NO_EFFECT
        even = bool(layers) and all(type(n) is int and n % 2 == 0 and n > 2 for n in layers)
        free = not re.search(r"\bblock\b", text_of(block))
        return choose(among=["all", "pairs"] if even and free else ["all"])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put a list of one block, or of half as many, in the place of the comprehension."""
        built = _comprehension(graph, site)
        if built is None:
            return ()
        block, name, count = built
        whole = block.parent
        if whole is None:  # it is the body of a comprehension
            return ()
        if choice["among"] == "all":
            text = fill("[{left}] * {right}", left=text_of(block), right=text_of(count))
        else:
            half = fill("{left} // {right}", left=text_of(count), right="2")
            text = f"[block for block in [{text_of(block)} for {name} in range({half})] for _ in range(2)]"
        bare = whole.type == "generator_expression"  # its parentheses may be those of the call
        start, end = (whole.start_byte + 1, whole.end_byte - 1) if bare else (whole.start_byte, whole.end_byte)
        return (ReplaceExpr(Span(site.path, start, end), text),)


def _comprehension(graph: CodeGraph, site: Node) -> tuple[SyntaxNode, str, SyntaxNode] | None:
    """Return block, name and count of `[block for name in range(count)]`, the one argument of a container."""
    arguments = field_of(graph.syntax(site), "arguments")
    given = parts(arguments) if arguments.type == "argument_list" else [arguments]
    built = given[0] if len(given) == 1 else None
    if built is not None and built.type == "list_splat":
        built = parts(built)[0]
    if built is None or built.type not in ("list_comprehension", "generator_expression") or len(parts(built)) != 2:
        return None
    block, clause = field_of(built, "body"), parts(built)[1]
    walked = clause.child_by_field_name("right") if clause.type == "for_in_clause" else None
    if (
        walked is None
        or walked.type != "call"
        or text_of(field_of(walked, "function")) != "range"
        or block.type != "call"
    ):
        return None
    counted = parts(field_of(walked, "arguments"))
    return (block, text_of(field_of(clause, "left")), counted[0]) if len(counted) == 1 else None


KIND = ShareBlock()
