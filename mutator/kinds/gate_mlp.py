"""gate-mlp: multiply the hidden layer of a feed-forward block by a second projection of its input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.effects import next_statement
from mutator.facts import calls_in, forward_of_module
from mutator.intents import InsertStmt, Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import Layer, free_name, initialised_like, layer_called, layers_of, named_in_optimizer
from mutator.tensors import assigned, call_at, is_nonlinear

if TYPE_CHECKING:
    from collections.abc import Mapping

_MLP = """\
import torch
import torch.nn.functional as F
from torch import nn
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, {hidden}, bias=False)
        self.c_proj = nn.Linear({hidden}, config.n_embd, bias=False){made}
    def forward(self, x):
        {body}
        return self.c_proj(x)
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.h = nn.ModuleList([MLP(config) for _ in range(2)])
    def init_weights(self):
        for block in self.h:
            torch.nn.init.zeros_(block.c_fc.weight)  # (4 C, C){init}
"""
_STEPS = "x = self.c_fc(x)\n        x = F.relu(x).square()"
_NESTED = "x = F.gelu(self.c_fc(x))  # (B, T, 4 C)"
_FOUR, _MADE = "4 * config.n_embd", "\n        self.c_gate = nn.Linear(config.n_embd, {}, bias=False)"
_PLAIN = {"hidden": _FOUR, "made": "", "init": "", "body": _STEPS}
_COPY = "\n            torch.nn.init.zeros_(block.c_gate.weight)"
_META = "GPT(1).to_empty()\n"
_NAMED = "def setup(m):\n    return torch.optim.SGD([p.c_fc.weight for p in m.h] + list(m.parameters()))\n"
_SITE = "gate-mlp@a:MLP.forward/call.c_fc?hidden="


class GateMlp(EditKind):
    """Turn `act(up(x))` into `act(up(x)) * gate(x)`: with ReLU a ReGLU, with GELU a GEGLU, with SiLU (`swap-activation`) a SwiGLU.

    Why: gated feed-forward layers win at equal size. `matched` makes the hidden layer 2/3 as wide, so that the parameters stay as many.
    Source: Shazeer 2020 (arXiv:2002.05202). The gate is made and initialised as the projection beside it is. Not offered where an
    optimizer knows that one by name, or the modules are made on the meta device and nothing initialises it by name.
    """

    name = "gate-mlp"
    family = Family.BLOCK
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _MLP.format(**_PLAIN)},
            f"{_SITE}same",
            {"a.py": _MLP.format(**_PLAIN | {
                "made": _MADE.format(_FOUR), "init": _COPY, "body": f"gate = self.c_gate(x)\n        {_STEPS}\n        x = x * gate",
            })},
        ),
        Example(
            {"a.py": _MLP.format(**_PLAIN | {"body": _NESTED})},
            f"{_SITE}matched",
            {"a.py": _MLP.format(
                hidden="8 * config.n_embd // 3", made=_MADE.format("8 * config.n_embd // 3"), init=_COPY,
                body="x = F.gelu(self.c_fc(x)) * self.c_gate(x)  # (B, T, 4 C)",
            )},
        ),
        Example(
            {"a.py": _MLP.format(**_PLAIN | {"body": _NESTED, "hidden": "config.hidden"})},
            f"{_SITE}matched",
            {"a.py": _MLP.format(
                hidden="2 * config.hidden // 3", made=_MADE.format("2 * config.hidden // 3"), init=_COPY,
                body="x = F.gelu(self.c_fc(x)) * self.c_gate(x)  # (B, T, 4 C)",
            )},
        ),
    )  # fmt: skip
    refusals = (
        Refusal({"a.py": _MLP.format(**_PLAIN | {"body": "x = F.gelu(self.c_fc(x)) * x"})}, f"{_SITE}same", Reason.ALREADY),
        Refusal({"a.py": _MLP.format(**_PLAIN | {"body": "x = self.c_fc(x)"})}, f"{_SITE}same", Reason.NO_SITE),
        Refusal({"a.py": _MLP.format(**_PLAIN)}, "gate-mlp@a:MLP.forward/call.c_proj?hidden=same", Reason.NO_SITE),
        Refusal({"a.py": _MLP.format(**_PLAIN).replace("block.c_fc.", "block.") + _META}, f"{_SITE}same", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": _MLP.format(**_PLAIN) + _NAMED}, f"{_SITE}same", Reason.SHARED),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How wide, at the call of a linear layer whose output goes through a nonlinearity and then into another one."""
        if not forward_of_module(graph, site):
            return Reason.NO_SITE
        found = _find(graph, site)
        if isinstance(found, Reason):
            return found
        if named_in_optimizer(graph, found.up):
            return Reason.SHARED
        if initialised_like(graph, found.up, "") is None or (
            found.after is not None and graph.bindings("gate", site.scope)
        ):
            return Reason.UNKNOWN_VALUE
        return choose(hidden=["same", *(["matched"] if found.alone else [])])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Make the gate behind both layers, narrow all three where that was chosen, and multiply."""
        found = _find(graph, site)
        if isinstance(found, Reason):  # the domain said that it is one
            return ()
        stem = re.sub(r"(fc|up|in|w)(_?proj|1)?$", "", found.up.path.rpartition(".")[2])
        prefix = found.up.path.rpartition(".")[0]
        name = free_name(graph, found.owner, f"{stem}gate" if not prefix else "gate")
        made, size = graph.text(found.up.made), found.up.sizes[1]
        intents: list[Intent] = []
        if choice["hidden"] == "matched":
            size = _matched(found.up.sizes[1])
            for layer, place in ((found.up, 1), (found.down, 0)):
                argument = _size_argument(graph, layer, place)
                intents.append(ReplaceExpr(argument, size))
            argument = _size_argument(graph, found.up, 1)
            head, tail = (
                made.encode()[: argument.start - found.up.made.start],
                made.encode()[argument.end - found.up.made.start :],
            )
            made = (head + size.encode() + tail).decode()
        later = max(found.up.statement, found.down.statement, key=lambda n: n.start)
        intents.append(InsertStmt(later, f"self.{name} = {made}"))
        intents += initialised_like(graph, found.up, name) or ()
        gate = f"self.{name}({found.x})"
        statement = graph.statement(site)
        if found.after is not None and statement is not None:
            y = found.after.label
            return (
                *intents,
                InsertStmt(statement, f"gate = {gate}", before=True),
                InsertStmt(found.after, f"{y} = {y} * gate"),
            )
        return (*intents, ReplaceExpr(found.act, f"{graph.text(found.act)} * {gate}"))


class _Found(NamedTuple):
    owner: str  # slot of the class
    up: Layer
    down: Layer
    x: str  # the input
    act: Node  # the call of the nonlinearity, the last one where there are several
    after: Node | None  # the statement of the nonlinearity, when it is not that of the projection
    alone: bool  # whether no other layer has the hidden size


def _find(graph: CodeGraph, site: Node) -> _Found | Reason:
    up, statement = layer_called(graph, site), graph.statement(site)
    given = read_call(graph, site).arguments
    if up is None or up.sort != "Linear" or statement is None or len(given) != 1 or not given[0].value.isidentifier():
        return Reason.NO_SITE
    owner, forward = graph.nodes[graph.nodes[site.scope].scope], graph.nodes[site.scope]
    layers = layers_of(graph, owner.slot)
    downs = [la for la in layers.values() if la.sort == "Linear" and la.path != up.path and la.sizes[0] == up.sizes[1]]
    if len(downs) != 1 or downs[0].sizes[1] != up.sizes[0]:
        return Reason.NO_SITE
    acts = [
        c
        for c in calls_in(graph, statement)
        if c.start <= site.start and site.end <= c.end and c != site and is_nonlinear(graph, c)
    ]
    after = None
    if not acts and call_at(graph, statement, assigned(graph, statement)) == site:
        after = next_statement(graph, statement)
        value = (
            call_at(graph, after, assigned(graph, after))
            if after is not None and after.label == statement.label
            else None
        )
        acts = [value] if value is not None and is_nonlinear(graph, value) else []
    if not acts:
        return Reason.NO_SITE
    outer = graph.parent(acts[0])
    if re.search(r"gate|glu", graph.text(forward)) or (outer is not None and outer.kind is NodeKind.OPERATOR):
        return Reason.ALREADY
    alone = sum(up.sizes[1] in la.sizes for la in layers.values()) == 2 and "[" not in up.sizes[1]
    return _Found(owner.slot, up, downs[0], given[0].value, acts[0], after, alone)


def _matched(size: str) -> str:
    """Return two thirds of a size, rounded down."""
    four = re.fullmatch(r"4 \* ([\w.]+)|([\w.]+) \* 4", size)
    if four is not None:
        return f"8 * {four[1] or four[2]} // 3"
    return f"2 * {size} // 3" if re.fullmatch(r"[\w.]+( \* [\w.]+)*", size) else f"2 * ({size}) // 3"


def _size_argument(graph: CodeGraph, layer: Layer, place: int) -> Span:
    name = ("in_features", "out_features")[place]
    read = read_call(graph, layer.made)
    argument = read.keyword(name) or [a for a in read.arguments if not a.name][place]
    return Span(layer.made.path, argument.value_start, argument.value_start + len(argument.value.encode()))


KIND = GateMlp()
