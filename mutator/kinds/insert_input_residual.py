"""insert-input-residual: show every block the embedding again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.facts import forward_of_module
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import body_of, unused
from mutator.tensors import adds_to_stream, assigned, call_at

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCALES = Between(0.001, 1.0, (0.05, 0.1, 0.3))
_NET = """\
from torch import nn
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.mlp = nn.Linear(n, n)
    def forward(self, x, mask=None):
        {update}
        return x
class GPT(nn.Module):
    def __init__(self, n, layers):
        super().__init__()
        self.emb = nn.Embedding(8, n)
        self.h = nn.ModuleList([Block(n) for _ in range(layers)])
    def forward(self, idx, mask=None):
        x = self.emb(idx)  # (B, T, C)
        {loop}
        return x
"""
_RESIDUAL, _LOOP = "x = x + self.mlp(x)", "for block in self.h:  # bottom up\n            x = block(x)"
_ADDED = "x0 = x\n        for block in self.h:  # bottom up\n            x = x + 0.1 * x0\n            x = block(x)"
_SITE = "insert-input-residual@a:GPT.forward/stmt.for?scale=0.1"


class InsertInputResidual(EditKind):
    """Add the stream as it enters the first block to the input of every block, scaled by a constant.

    Why: deep layers see the tokens themselves and need not carry them along. Source: modded-nanoGPT 2024 (x0 lambdas), autoresearch;
    -1.5 % on a small language model. Offered at a loop that gives a stream through residual blocks of ours, so that all shapes are
    equal. Not offered where the loop adds a saved stream already.
    """

    name = "insert-input-residual"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(update=_RESIDUAL, loop=_LOOP)},
            _SITE,
            {"a.py": _NET.format(update=_RESIDUAL, loop=_ADDED)},
        ),
        Example(
            {"a.py": _NET.format(update="x += self.mlp(x)", loop=_LOOP.replace("block(x)", "block(x, mask)"))},
            _SITE,
            {"a.py": _NET.format(update="x += self.mlp(x)", loop=_ADDED.replace("block(x)", "block(x, mask)"))},
        ),
        Example(
            {
                "a.py": _NET.format(
                    update=_RESIDUAL, loop=_LOOP.replace("block in self.h", "i, block in enumerate(self.h)")
                )
            },
            "insert-input-residual@a:GPT.forward/stmt.for?scale=0.3",
            {
                "a.py": _NET.format(
                    update=_RESIDUAL,
                    loop=_ADDED.replace("block in self.h", "i, block in enumerate(self.h)").replace("0.1", "0.3"),
                )
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(update="x = self.mlp(x)", loop=_LOOP)}, _SITE, Reason.SHAPE),
        Refusal({"a.py": _NET.format(update=_RESIDUAL, loop=_ADDED)}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _NET.format(update=_RESIDUAL, loop="for x0 in self.h:\n            x = x0(x)")}, _SITE, Reason.NAME_CLASH),
        Refusal({"a.py": _NET.format(update=_RESIDUAL, loop="for _ in range(2):\n            x = x + 1")}, _SITE, Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How much of the input, at a loop over residual blocks."""
        if site.label != "for" or not forward_of_module(graph, site):
            return Reason.NO_SITE
        call = _block_call(graph, site)
        if call is None:
            return Reason.NO_SITE
        stream = read_call(graph, call).arguments[0].value
        if not all(adds_to_stream(graph, slot) for slot in graph.callees(call)):
            return Reason.SHAPE
        if re.search(rf"\w+\s*=\s*{stream}(\.clone\(\))?\s*$", _before(graph, site), re.MULTILINE):
            return Reason.ALREADY
        return choose(scale=_SCALES) if unused(graph, site, f"{stream}0") else Reason.NAME_CLASH

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Keep the stream before the loop, and add it before the block is called."""
        call = _block_call(graph, site)
        statement = graph.statement(call) if call is not None else None
        if call is None or statement is None:  # the domain said that there is one
            return ()
        x = read_call(graph, call).arguments[0].value
        return (
            InsertStmt(site, f"{x}0 = {x}", before=True),
            InsertStmt(statement, f"{x} = {x} + {choice['scale']} * {x}0", before=True),
        )


def _block_call(graph: CodeGraph, loop: Node) -> Node | None:
    """Return the one call in a loop's own block that gives a stream through a layer: `x = block(x, ...)`."""
    found = []
    for statement in body_of(graph, loop):
        call = call_at(graph, statement, assigned(graph, statement))
        given = read_call(graph, call).arguments if call is not None else ()
        ours = call is not None and [graph.nodes[s].label for s in graph.callees(call)] == ["forward"]
        if call is not None and ours and given and not given[0].name and given[0].value == statement.label:
            found.append(call)
    return found[0] if len(found) == 1 else None


def _before(graph: CodeGraph, loop: Node) -> str:
    function = graph.nodes[loop.scope]
    return graph.snapshot.files[loop.path][function.start : loop.start].decode()


KIND = InsertInputResidual()
