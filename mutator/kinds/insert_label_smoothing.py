"""insert-label-smoothing: train against targets that are a little uncertain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, SetArg
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.losses import CRITERION, CROSS_ENTROPY, criterion_calls, mean_guard, training_guard

if TYPE_CHECKING:
    from collections.abc import Mapping

_AMOUNTS = Between(0.01, 0.3, (0.02, 0.05, 0.1))
_GPT = """\
import torch.nn as nn
from torch.nn import functional as F
class GPT(nn.Module):
    def forward(self, idx, targets=None):
        logits = self.lm_head(idx)
        if targets is None:
            return logits
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1{smoothing})
"""
_LOOP = """\
import torch
import torch.nn.functional as F
opt = torch.optim.SGD(model.parameters(), lr=1)
for x, y in data:
    loss = F.cross_entropy(model(x), y{smoothing})
    loss.backward()
    opt.step()
with torch.no_grad():
    val_loss = F.cross_entropy(model(x), y)
"""
_CRITERION = """\
import torch
from torch import nn
def compute(criterion, x, y):
    return criterion(x, y)
def train(model, data):
    criterion = nn.CrossEntropyLoss({smoothing})
    for x, y in data:
        loss = compute(criterion, model(x), y) / 2
        loss.backward()
"""
_SHARED = """\
import torch.nn.functional as F
def loss_of(model, x, y):
    return F.cross_entropy(model(x), y)
def train(model, x, y):
    loss_of(model, x, y).backward()
def validate(model, x, y):
    return loss_of(model, x, y).item()
"""


class InsertLabelSmoothing(EditKind):
    """Smooth the labels of a cross entropy while training: a share of the target goes to all classes alike.

    Why: it keeps a short run from growing confident logits. Source: Szegedy et al. 2016 (arXiv:1512.00567); Mueller et al. 2019
    (arXiv:1906.02629). A module that computes its own loss also serves the evaluation, so there it is smoothed `if self.training`.
    Not offered for a loss that anything but a backward pass uses: smoothed, it would be another metric.
    """

    name = "insert-label-smoothing"
    family = Family.INSERT
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _GPT.format(smoothing="")},
            "insert-label-smoothing@a:GPT.forward/call.cross_entropy?amount=0.1",
            {"a.py": _GPT.format(smoothing=", label_smoothing=0.1 if self.training else 0.0")},
        ),
        Example(
            {"a.py": _LOOP.format(smoothing="")},
            "insert-label-smoothing@a:/call.cross_entropy?amount=0.05",
            {"a.py": _LOOP.format(smoothing=", label_smoothing=0.05")},
        ),
        Example(
            {"a.py": _CRITERION.format(smoothing="")},
            "insert-label-smoothing@a:train/call.CrossEntropyLoss?amount=0.02",
            {"a.py": _CRITERION.format(smoothing="label_smoothing=0.02")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _LOOP.format(smoothing="")},
            "insert-label-smoothing@a:/call.cross_entropy.1?amount=0.1",
            Reason.SHARED,
        ),
        Refusal({"a.py": _SHARED}, "insert-label-smoothing@a:loss_of/call.cross_entropy?amount=0.1", Reason.SHARED),
        Refusal(
            {"a.py": _LOOP.format(smoothing=", label_smoothing=eps")},
            "insert-label-smoothing@a:/call.cross_entropy?amount=0.1",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _LOOP.format(smoothing=", **options")},
            "insert-label-smoothing@a:/call.cross_entropy?amount=0.1",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal({"a.py": _LOOP.format(smoothing="")}, "insert-label-smoothing@a:/call.step?amount=0.1", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How much, where a cross entropy of torch is computed or set up for training alone, or can tell that it trains."""
        callees = graph.callees(site)
        if callees not in ((CROSS_ENTROPY,), (CRITERION,)):
            return Reason.NO_SITE
        call = read_call(graph, site)
        if call.starred:
            return Reason.UNKNOWN_VALUE
        if call.keyword("label_smoothing"):
            return Reason.ALREADY
        guard = _guard(graph, site)
        return guard if isinstance(guard, Reason) else choose(amount=_AMOUNTS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Set the argument, under the condition that the model trains where it serves the evaluation too."""
        guard, amount = _guard(graph, site), choice["amount"]
        return (SetArg(site, "label_smoothing", f"{amount} if {guard} else 0.0" if guard else str(amount)),)


def _guard(graph: CodeGraph, site: Node) -> str | Reason:
    """Return the condition for smoothing; a criterion has none to test, so everyone who applies it must train."""
    if graph.callees(site) == (CROSS_ENTROPY,):
        return mean_guard(graph, site)
    uses = criterion_calls(graph)
    trains = bool(uses) and all(training_guard(graph, use) == "" for use in uses)
    return "" if trains else Reason.SHARED


KIND = InsertLabelSmoothing()
