"""remove-layer: take a layer out that gives what it takes, with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.groups import Use, layer_of, sizes_of
from mutator.intents import DeleteStmt, Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.layers import only_called

if TYPE_CHECKING:
    from collections.abc import Mapping

_ATTENTION = """\
from torch import nn
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
{proj}        self.dropout = nn.Dropout(config.dropout)
    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        y = attend(q, k, v)
        return self.dropout({y})  # (B, T, C)
"""
_PROJ = "        self.proj = nn.Linear(config.n_embd, {})\n"
_NET = """\
import torch.nn.functional as F
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
{fc2}        self.fc3 = nn.Linear(128, 10)
    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu({x})
        return self.fc3(x)
"""
_FC2 = "        self.fc2 = nn.Linear(128, 128)\n"


class RemoveLayer(EditKind):
    """Take a linear layer out whose input is as wide as its output: its call gives way to its argument, and its weights go too.

    Why: projections that neither widen nor narrow are often there by habit; simplified blocks drop the one
    behind the attention. Source: He and Hofmann 2023 (arXiv:2311.01906). Not offered: layers whose attribute the sources use in another
    way than to call it, and those that are made under a condition.
    """

    name = "remove-layer"
    family = Family.BLOCK
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _ATTENTION.format(proj=_PROJ.format("config.n_embd"), y="self.proj(y)")},
            "remove-layer@a:Attention.__init__/call.Linear.1",
            {"a.py": _ATTENTION.format(proj="", y="y")},
        ),
        Example(
            {"a.py": _NET.format(fc2=_FC2, x="self.fc2(x)")},
            "remove-layer@a:Net.__init__/call.Linear.1",
            {"a.py": _NET.format(fc2="", x="x")},
        ),
        Example(
            {"a.py": _NET.format(fc2=_FC2, x="self.fc2(2 * x) + x")},
            "remove-layer@a:Net.__init__/call.Linear.1",
            {"a.py": _NET.format(fc2="", x="2 * x + x")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _NET.format(fc2=_FC2, x="self.fc2(x)")}, "remove-layer@a:Net.__init__/call.Linear", Reason.SHAPE
        ),
        Refusal(
            {"a.py": _NET.format(fc2=_FC2, x="self.fc2(x) + self.fc2.bias")},
            "remove-layer@a:Net.__init__/call.Linear.1",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _NET.format(fc2=_FC2, x="self.fc2(self.fc2(x))")},
            "remove-layer@a:Net.__init__/call.Linear.1",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _ATTENTION.format(proj="", y="y")},
            "remove-layer@a:Attention.__init__/call.Dropout",
            Reason.NO_SITE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every linear layer of equal widths that one call runs; there is nothing to choose."""
        if not site.label.endswith("Linear") or layer_of(graph, site) != "Linear":
            return Reason.NO_SITE
        sizes = {use: text_of(expression) for expression, use in sizes_of(graph, site)}
        if sizes.get(Use.IN) != sizes.get(Use.OUT):
            return Reason.SHAPE
        statement, function = graph.statement(site), graph.nodes[site.scope]
        if statement is None or graph.parent(statement) != function or function.label != "__init__":
            return Reason.UNKNOWN_VALUE
        return NOTHING_TO_CHOOSE if len(only_called(graph, site)) == 1 else Reason.SHARED

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put the argument in the place of the call, and delete the statement that makes the layer."""
        statement, (call, *_) = graph.statement(site), only_called(graph, site)
        argument = parts(field_of(call, "arguments"))[0]
        text = text_of(field_of(argument, "value") if argument.type == "keyword_argument" else argument)
        replaced = ReplaceExpr(Span(site.path, call.start_byte, call.end_byte), text)
        return (replaced, DeleteStmt(statement)) if statement is not None else ()


KIND = RemoveLayer()
