"""insert-gate: weigh a residual branch by a learned gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import spell
from mutator.domain import OneOf, choose
from mutator.intents import InsertStmt, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import free_name, init_of, layer_called, refuses_weights, width_of
from mutator.tensors import branch_of, span_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mutator.domain import Domain
    from mutator.edit import Scalar

_STARTS = {1.0: "ones({})", 0.1: "full(({},), 0.1)", 0.0: "zeros({})"}
_BLOCK = """\
import torch
from torch import nn
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
    def forward(self, x):
        x = self.c_proj(self.c_fc(x).relu())
        return x
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = MLP(config)  # (B, T, C)
{gate}    def forward(self, x):
        {update}
        return x
"""
_BEFORE = _BLOCK.format(gate="", update="x = x + self.mlp(self.ln_2(x))")
_GATED = "x = x + self.mlp_gate * self.mlp(self.ln_2(x))"
_OPTIM = "def setup(model):\n    return torch.optim.AdamW({given})\n"
_SITE = "insert-gate@a:Block.forward/stmt.x?form={}&start={}"


class InsertGate(EditKind):
    """Multiply a residual branch by a learned gate, one number for the branch or one for each channel.

    Why: from 0 (ReZero) or 0.1 (LayerScale) a deep stack starts as the identity, and each layer opens at its own pace. Source: Bachlechner
    et al. 2020 (arXiv:2003.04887); Touvron et al. 2021 (arXiv:2103.17239). It draws no random number. Not offered where the optimizer
    would not take the gate, where modules are made on the meta device, or where the width of the branch cannot be named.
    """

    name = "insert-gate"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _BEFORE},
            _SITE.format("channel", "0.1"),
            {
                "a.py": _BLOCK.format(
                    gate="        self.mlp_gate = nn.Parameter(torch.full((config.n_embd,), 0.1))\n", update=_GATED
                )
            },
        ),
        Example(
            {"a.py": _BEFORE + _OPTIM.format(given="model.parameters()")},
            _SITE.format("scalar", "0.0"),
            {
                "a.py": _BLOCK.format(gate="        self.mlp_gate = nn.Parameter(torch.zeros(1))\n", update=_GATED)
                + _OPTIM.format(given="model.parameters()")
            },
        ),
        Example(
            {"a.py": _BEFORE.replace("x = x + self.mlp(self.ln_2(x))", "x += self.mlp(x)")},
            _SITE.format("channel", "1.0"),
            {
                "a.py": _BLOCK.format(
                    gate="        self.mlp_gate = nn.Parameter(torch.ones(config.n_embd))\n",
                    update="x += self.mlp_gate * self.mlp(x)",
                )
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _BLOCK.format(gate="", update=_GATED)}, _SITE.format("scalar", "1.0"), Reason.ALREADY),
        Refusal(
            {"a.py": _BLOCK.format(gate="", update="x = self.mlp(x)")}, _SITE.format("scalar", "1.0"), Reason.NO_SITE
        ),
        Refusal(
            {"a.py": _BEFORE + _OPTIM.format(given="model.mlp.parameters()")},
            _SITE.format("scalar", "1.0"),
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _BEFORE + "def make(config):\n    with torch.device('meta'):\n        return Block(config)\n"},
            _SITE.format("scalar", "1.0"),
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _BEFORE.replace("return x\nclass", "return x.view(x.shape)\nclass")},
            _SITE.format("channel", "1.0"),
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """A gate for the branch or for each of its channels, and where it starts, at a residual sublayer."""
        branch = branch_of(graph, site)
        if branch is None or layer_called(graph, branch.call) is None:
            return Reason.NO_SITE
        if (branch.place.start, branch.place.end) != (branch.call.start, branch.call.end):
            return Reason.ALREADY  # weighed, dropped out or normalised: the gate would go in between
        refused = refuses_weights(graph)
        if refused is not None:
            return refused
        return choose(
            form=["scalar", *(["channel"] if width_of(graph, branch.call) else [])], start=OneOf(tuple(_STARTS))
        )

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Make the gate right behind its sublayer, and multiply by it."""
        branch = branch_of(graph, site)
        layer = layer_called(graph, branch.call) if branch is not None else None
        owner = graph.nodes[graph.nodes[site.scope].scope]
        init = init_of(graph, owner.slot)
        if branch is None or layer is None or init is None:  # the domain said that there are
            return ()
        name = free_name(graph, owner.slot, f"{layer.path.rpartition('.')[2]}_gate")
        size = width_of(graph, branch.call) if choice["form"] == "channel" else "1"
        parameter, imports = spell(graph, layer.statement, "torch.nn.Parameter")
        torch, more = spell(graph, layer.statement, "torch.tensor")
        made = (
            f"self.{name} = {parameter}({torch.removesuffix('tensor')}{_STARTS[float(choice['start'])].format(size)})"
        )
        return (
            *imports, *more, InsertStmt(layer.statement, made),
            ReplaceExpr(branch.place, f"self.{name} * {span_text(graph, branch.place)}"),
        )  # fmt: skip


KIND = InsertGate()
