"""delete-statement: take out a statement that updates what is there already."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.acts import acts_of
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.effects import same_block
from mutator.facts import calls_in
from mutator.intents import DeleteStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.layout import whole_statement
from mutator.numbers import only_reported
from mutator.updates import loses_weights, self_update, serves, survives_lost_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPOUND = frozenset(
    {"for", "while", "with", "try", "return", "assert", "expression", "import", "pass", "raise", "elif", "else"}
)
# The update of the weights itself (`add_`, `copy_`) is left alone: without it nothing is learned.
_IN_PLACE = re.compile(
    r"torch\.nn\.utils\.(clip_grad\.)?clip_grad_(norm|value)_"
    r"|torch\.optim\.lr_scheduler\.\w+\.step|torch\.Tensor\.(mul|div|clamp|clamp_min|clamp_max|clip|renorm)_"
)
_STARTS = re.compile(r"torch\.nn\.init\.\w+_|torch\.Tensor\.(normal|uniform|trunc_normal|zero|fill|bernoulli)_")
_UNSET = (
    "torch.empty",
    "torch.empty_like",
    "torch.nn.Module.to_empty",
    "torch.Tensor.new_empty",
    "torch.nn.utils.skip_init",
)
_BLOCK = """\
import torch.nn.functional as F
from torch import nn
class MLP(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc = nn.Linear(n, 4 * n)
        self.drop = nn.Dropout(0.1)
    def forward(self, x):
        x = self.fc(x)
{act}        return self.drop(x)
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.mlp = MLP(n)
        self.norm = nn.LayerNorm(n)
    def forward(self, x, mask):
{mlp}        x = x.masked_fill(mask, 0)
        return self.norm(x)
"""
_ACT, _MLP = "        x = F.gelu(x)  # (B, T, 4 * C)\n", "        x = x + self.mlp(x)\n"
_LOOP = """\
import torch
sched = torch.optim.lr_scheduler.StepLR(opt, 10)
for batch in data:
    loss = model(batch) / 4
    loss.backward()
    steps = steps + 1
{clip}    opt.step()
    sched.step()
"""
_CLIP = "    torch.nn.utils.clip_grad_norm_(ps, 1.0)\n"


class DeleteStatement(EditKind):
    """Delete a statement whose absence leaves every name bound and every shape as it was.

    What qualifies: self-updates (`x = norm(x)`, `x = x + self.mlp(x)`, `q, k = rope(q), rope(k)`, `std = std / depth`), clipping,
    the step of a schedule, an initialisation where the layer has one of its own, scaling in place.
    Why: what can go with the metric as good is the cheapest improvement; ablations of this kind decide every public speed run. Of naive
    deletions on nanoGPT 60 % crash and 20 % do nothing. Not offered: masks, counters, casts, what evaluates, samples or reports, the only
    statement of its block, and what leaves weights without a gradient where an optimizer of ours cannot do with that.
    """

    name = "delete-statement"
    family = Family.DELETE
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _BLOCK.format(act=_ACT, mlp=_MLP)},
            "delete-statement@a:MLP.forward/stmt.x.1",
            {"a.py": _BLOCK.format(act="", mlp=_MLP)},
        ),
        Example(
            {"a.py": _BLOCK.format(act=_ACT, mlp=_MLP)},
            "delete-statement@a:Block.forward/stmt.x",
            {"a.py": _BLOCK.format(act=_ACT, mlp="")},
        ),
        Example(
            {"a.py": _LOOP.format(clip=_CLIP)},
            "delete-statement@a:/stmt.clip_grad_norm_",
            {"a.py": _LOOP.format(clip="")},
        ),
        Example(
            {
                "a.py": "def init(w, depth, deep):\n    std = 0.02\n    if deep:\n        std *= (2 * depth) ** -0.5  # GPT-2\n"
                "    return std\n"
            },
            "delete-statement@a:init/stmt.if",
            {"a.py": "def init(w, depth, deep):\n    std = 0.02\n    return std\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": _BLOCK.format(act=_ACT, mlp=_MLP)}, "delete-statement@a:MLP.forward/stmt.x", Reason.SHAPE),
        Refusal({"a.py": _BLOCK.format(act=_ACT, mlp=_MLP)}, "delete-statement@a:Block.forward/stmt.x.1", Reason.SHAPE),
        Refusal({"a.py": _LOOP.format(clip="")}, "delete-statement@a:/stmt.steps", Reason.SHAPE),
        Refusal({"a.py": _LOOP.format(clip="")}, "delete-statement@a:/stmt.backward", Reason.NO_SITE),
        Refusal(
            {
                "a.py": "import torch.nn.functional as F\ndef generate(x):\n    y = 2 * x\n    y = F.gelu(y)\n    return y\n"
            },
            "delete-statement@a:generate/stmt.y.1",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": "import torch\nfrom torch import nn\nw = torch.empty(3)\nn = 3\nnn.init.normal_(w)\n"},
            "delete-statement@a:/stmt.normal_",
            Reason.UNKNOWN_VALUE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every statement that may go; there is nothing to choose."""
        if site.label in _COMPOUND or graph.nodes[site.scope].kind is NodeKind.CLASS:
            return Reason.NO_SITE
        reason = _branch(graph, site) if site.label == "if" else _statement(graph, site)
        if reason is not None:
            return reason
        if serves(graph, site) or only_reported(graph, site):
            return Reason.SHARED
        return NOTHING_TO_CHOOSE if len(same_block(graph, site)) > 1 else Reason.NO_SITE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Delete it."""
        return (DeleteStmt(site),)


def _statement(graph: CodeGraph, statement: Node) -> Reason | None:
    """Return why a statement has to stay."""
    return _called(graph, statement) if _is_call(graph, statement) else _updated(graph, statement)


def _branch(graph: CodeGraph, branch: Node) -> Reason | None:
    """Return why an `if` without `else` has to stay: something in it has to, or binds what others need."""
    inside = [graph.nodes[slot] for slot in graph.targets(branch.slot, EdgeKind.CONTAINS)]
    block = [n for n in inside if n.kind is NodeKind.STATEMENT]
    clauses = {c.type for c in whole_statement(graph, branch).children}
    if (
        not block
        or any(n.label in _COMPOUND or n.label == "if" for n in block)
        or clauses & {"else_clause", "elif_clause"}
    ):
        return Reason.NO_SITE
    reasons = [_statement(graph, n) for n in block]
    if None not in reasons:
        return Reason.NO_SITE
    own = {n.slot for n in block}
    kept = [r for n, r in zip(block, reasons, strict=True) if r is not None and not _local(graph, n, own)]
    return kept[0] if kept else None


def _local(graph: CodeGraph, statement: Node, block: set[str]) -> bool:
    """Whether a statement does nothing but bind names for others of its block."""
    return (
        statement.label != "expression"
        and not acts_of(graph, statement)
        and set(graph.targets(statement.slot, EdgeKind.DEF_USE)) <= block
    )


def _is_call(graph: CodeGraph, statement: Node) -> bool:
    return any((call.start, call.end) == (statement.start, statement.end) for call in calls_in(graph, statement))


def _called(graph: CodeGraph, statement: Node) -> Reason | None:
    """Return why a call that stands alone has to stay."""
    call = next(calls_in(graph, statement))
    callees = graph.callees(call)
    if callees and all(_STARTS.fullmatch(slot) for slot in callees):
        return Reason.UNKNOWN_VALUE if any(slot in graph.nodes for slot in _UNSET) else None
    return None if callees and all(_IN_PLACE.fullmatch(slot) for slot in callees) else Reason.NO_SITE


def _updated(graph: CodeGraph, statement: Node) -> Reason | None:
    """Return why an assignment has to stay."""
    if self_update(graph, statement) is None:
        return Reason.SHAPE
    return Reason.UNKNOWN_VALUE if loses_weights(graph, statement) and not survives_lost_weights(graph) else None


KIND = DeleteStatement()
