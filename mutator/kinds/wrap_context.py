"""wrap-context: run a part of the forward pass under a checkpoint or in bfloat16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.facts import block_of, forward_of_module, is_torch_module
from mutator.intents import EnsureImport, Intent, ReplaceExpr, WrapStmts
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import body_of, loop_of, plays, steps_in

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIXED = (b"autocast", b"bfloat16", b"float16", b".half()")  # the sources know about precision
_GPT = """\
import torch.nn as nn
{imports}class Block(nn.Module):
    def forward(self, x, cos_sin): return x
class GPT(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.h = nn.ModuleList([Block() for _ in range(n)])
    def forward(self, x, cos_sin):
        for block in self.h:
            x = {call}  # (B, T, C)
        return x
"""
_LOOP = """\
import torch
import torch.nn.functional as F
class Net(torch.nn.Module):
    def forward(self, x): return x
def train(model: Net, batches):
    opt = torch.optim.SGD(model.parameters(), lr=1)
    for x, y in batches:
        opt.zero_grad()
{loss}
        loss.backward()
        opt.step()
def main():
    train(Net(), [])
"""
_LOSS = "{i}logits = model(x)  # (B, V)\n{i}loss = F.cross_entropy(logits, y)"
_CAST = "        with torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16):\n"
_CHECKPOINTED = "checkpoint(block, x, cos_sin, use_reentrant=False) if self.training else block(x, cos_sin)"


class WrapContext(EditKind):
    """Recompute a block in the backward pass instead of keeping its activations, or compute a forward pass and its loss in bfloat16.

    Why: memory that is saved buys a bigger batch or model, and half the bits twice the speed. Source: Chen et al. 2016
    (arXiv:1604.06174); Micikevicius et al. 2018 (arXiv:1710.03740); torch.utils.checkpoint, whose docs ask for use_reentrant=False.
    A checkpoint is taken only `if self.training`. Autocast goes around the statements from the model to the loss; not offered where the
    sources know about precision already. Nor is a checkpoint where what is called may be anything but a module in a loop.
    """

    name = "wrap-context"
    family = Family.DELETE
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _GPT.format(imports="", call="block(x, cos_sin)")},
            "wrap-context@a:GPT.forward/call.block?context=checkpoint",
            {"a.py": _GPT.format(imports="from torch.utils.checkpoint import checkpoint\n", call=_CHECKPOINTED)},
        ),
        Example(
            {"a.py": _LOOP.format(loss=_LOSS.format(i=" " * 8))},
            "wrap-context@a:train/call.model?context=autocast",
            {"a.py": _LOOP.format(loss=_CAST + _LOSS.format(i=" " * 12))},
        ),
        Example(
            {"a.py": _LOOP.format(loss="        loss = F.mse_loss(model(x), y)")},
            "wrap-context@a:train/call.model?context=autocast",
            {"a.py": _LOOP.format(loss=f"{_CAST}            loss = F.mse_loss(model(x), y)")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _GPT.format(imports="def again(f, x): return checkpoint(f, x)\n", call="block(x, cos_sin)")},
            "wrap-context@a:GPT.forward/call.block?context=checkpoint",
            Reason.ALREADY,
        ),
        Refusal(
            {
                "a.py": _LOOP.format(
                    loss="        with torch.autocast('cpu'):\n            loss = F.mse_loss(model(x), y)"
                )
            },
            "wrap-context@a:train/call.model?context=autocast",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _LOOP.format(loss=_LOSS.format(i=" " * 8))},
            "wrap-context@a:train/call.model?context=checkpoint",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": _GPT.format(imports="from tools import checkpoint\n", call="block(x, cos_sin)")},
            "wrap-context@a:GPT.forward/call.block?context=checkpoint",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {"a.py": "import torch\nx = torch.zeros(3)\n"},
            "wrap-context@a:/call.zeros?context=autocast",
            Reason.NO_SITE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """A checkpoint around a block of `forward`, autocast around the model in a training loop."""
        if plays(graph, site, "forward"):
            return _where_cast(graph, site)
        if not _is_block(graph, site):
            return Reason.NO_SITE
        return Reason.ALREADY if _checkpoints(graph, site) else choose(context=["checkpoint"])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Call through `checkpoint` while training, or put the statements up to the loss under `torch.autocast`."""
        call = read_call(graph, site)
        if choice["context"] == "checkpoint":
            text = graph.text(site)
            inner = text[text.index("(") + 1 : -1].strip().rstrip(",")
            taken = f"checkpoint({call.function}, {inner}, use_reentrant=False) if self.training else {text}"
            return (
                EnsureImport(site, "torch.utils.checkpoint", "checkpoint", name="checkpoint"),
                ReplaceExpr(site, taken),
            )
        run = _up_to_loss(graph, site)
        header = f"with torch.autocast(next({call.function}.parameters()).device.type, dtype=torch.bfloat16):"
        return (EnsureImport(site, "torch", "torch"), WrapStmts(run[0], run[-1], header))


def _is_block(graph: CodeGraph, site: Node) -> bool:
    """Whether a call runs a module that a loop of `forward` takes out of a list of modules, for one value: `x = block(x)`."""
    statement = graph.statement(site)
    if statement is None or graph.parent(site) != statement or not forward_of_module(graph, site):
        return False
    loop, call = loop_of(graph, statement), read_call(graph, site)
    ours = [graph.nodes[slot] for slot in graph.callees(site)]
    modules = bool(ours) and all(n.label == "forward" and n.path and is_torch_module(graph, n.scope) for n in ours)
    taken = loop is not None and any(
        b.slot in graph.targets(loop.slot, EdgeKind.WRITES) for b in graph.bindings(call.function, site.scope)
    )
    plain = bool(call.arguments) and not call.arguments[0].name and not call.starred
    return modules and taken and plain and graph.text(statement) == f"{statement.label} = {graph.text(site)}"


def _checkpoints(graph: CodeGraph, site: Node) -> bool:
    return b"checkpoint(" in graph.files[site.path].data


def _where_cast(graph: CodeGraph, site: Node) -> Domain | Reason:
    if not any(read_call(graph, site).function in step.models for step in steps_in(graph, site.scope, site.path)):
        return Reason.NO_SITE
    if any(word in file.data for file in graph.files.values() for word in _MIXED):
        return Reason.ALREADY
    return choose(context=["autocast"]) if _up_to_loss(graph, site) else Reason.UNKNOWN_VALUE


def _up_to_loss(graph: CodeGraph, site: Node) -> tuple[Node, ...]:
    """Return the statements from a forward pass to the loss, in one block; none where the loss is not computed in view."""
    statement = graph.statement(site)
    if statement is None or body_of(graph, statement):
        return ()
    block = block_of(graph, statement)
    following = block[block.index(statement) :]
    for position, other in enumerate(following):
        calls = [graph.nodes[slot] for slot in graph.targets(other.slot, EdgeKind.CONTAINS)]
        if any(call.label in ("backward", "step", "zero_grad") for call in calls):
            return following[:1] if _gives_loss(graph, following[:position]) else ()
        if body_of(graph, other):
            return ()
        if any(call.kind is NodeKind.CALL and plays(graph, call, "loss") for call in calls):
            return following[: position + 1]
    return ()


def _gives_loss(graph: CodeGraph, statements: tuple[Node, ...]) -> bool:
    """Whether a model computes its own loss: nothing between it and the backward pass runs another loss."""
    return len(statements) == 1 or all(not graph.targets(s.slot, EdgeKind.CONTAINS) for s in statements[1:])


KIND = WrapContext()
