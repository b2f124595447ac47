"""insert-z-loss: keep the normaliser of the softmax near one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import InsertStmt, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.losses import CRITERION, CROSS_ENTROPY, logits_of, mean_guard
from mutator.steps import calls_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_COEFFICIENTS = Between(1e-6, 0.01, (1e-5, 1e-4, 1e-3))
_SITES = ((CROSS_ENTROPY,), (f"{CRITERION}.__call__",))
_GPT = """\
import torch.nn as nn
from torch.nn import functional as F
class GPT(nn.Module):
    def forward(self, idx, targets=None, reduction="mean"):
        logits = self.lm_head(idx)  # (B, T, vocab_size)
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1),
                                   ignore_index=-1, reduction=reduction){z}
            return loss
        return logits
"""
_LOOP = """\
import torch
import torch.nn.functional as F
opt = torch.optim.SGD(model.parameters(), lr=1)
for x, y in data:
    logits = model(x)  # (B, T, VOCAB)
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(){more}){z}
    loss.backward()
    opt.step()
with torch.no_grad():
    print(F.cross_entropy(logits.flatten(0, 1), y.flatten()))
"""
_CRITERION = """\
from torch import nn
def train(model, data):
    criterion = nn.CrossEntropyLoss()
    for x, y in data:
        output = model(x)
        ({loss}).backward()
"""


class InsertZLoss(EditKind):
    """Add `coefficient * mean(logsumexp(logits) ** 2)` to the cross entropy that is trained on.

    Why: it stops the logits from drifting, which matters at low precision and high learning rates. Source: PaLM, Chowdhery et al. 2022
    (arXiv:2204.02311), section 5, with 1e-4. A module that computes its own loss also serves the evaluation: there it is added
    `if self.training`. Not offered for a loss that anything but a backward pass uses, nor where the logits cannot be told from their
    flattened form.
    """

    name = "insert-z-loss"
    family = Family.INSERT
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _GPT.format(z="")},
            "insert-z-loss@a:GPT.forward/call.cross_entropy?coefficient=0.0001",
            {
                "a.py": _GPT.format(
                    z='\n            if self.training and reduction == "mean":'
                    "\n                loss = loss + 0.0001 * logits.float().logsumexp(-1).square().mean()"
                )
            },
        ),
        Example(
            {"a.py": _LOOP.format(z="  # nats", more="")},
            "insert-z-loss@a:/call.cross_entropy?coefficient=0.001",
            {
                "a.py": _LOOP.format(
                    z="  # nats\n    loss = loss + 0.001 * logits.float().logsumexp(-1).square().mean()", more=""
                )
            },
        ),
        Example(
            {"a.py": _CRITERION.format(loss="criterion(output, y)")},
            "insert-z-loss@a:train/call.criterion?coefficient=0.001",
            {
                "a.py": _CRITERION.format(
                    loss="criterion(output, y) + 0.001 * output.float().logsumexp(1).square().mean()"
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _LOOP.format(z="", more="")},
            "insert-z-loss@a:/call.cross_entropy.1?coefficient=0.001",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _LOOP.format(z="\n    loss = loss + 0.1 * logits.logsumexp(-1).square().mean()", more="")},
            "insert-z-loss@a:/call.cross_entropy?coefficient=0.001",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _LOOP.format(z="", more=', reduction="sum"')},
            "insert-z-loss@a:/call.cross_entropy?coefficient=0.001",
            Reason.CONTRACT,
        ),
        Refusal(
            {"a.py": _LOOP.format(z="", more="").replace("logits.flatten(0, 1), y", "torch.cat(logits), y", 1)},
            "insert-z-loss@a:/call.cross_entropy?coefficient=0.001",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal({"a.py": _LOOP.format(z="", more="")}, "insert-z-loss@a:/call.step?coefficient=0.001", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How much, where a cross entropy over logits is sent backward."""
        if graph.callees(site) not in _SITES:
            return Reason.NO_SITE
        reduction = read_call(graph, site).keyword("reduction")
        if reduction is not None and reduction.value[:1] in ("'", '"') and reduction.value[1:-1] != "mean":
            return Reason.CONTRACT
        if logits_of(graph, site) is None:
            return Reason.UNKNOWN_VALUE
        if any(call.label == "logsumexp" for call in calls_of(graph, site.scope, site.path)):
            return Reason.ALREADY
        guard = mean_guard(graph, site)
        return guard if isinstance(guard, Reason) else choose(coefficient=_COEFFICIENTS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Add it in a statement of its own behind `loss = ...`, else right where the loss is computed."""
        logits, guard = logits_of(graph, site), mean_guard(graph, site)
        if logits is None:  # the domain said that there are
            return ()
        term = f"{choice['coefficient']} * {logits[0]}.float().logsumexp({logits[1]}).square().mean()"
        statement = graph.statement(site)
        if statement is not None and graph.text(statement) == f"{statement.label} = {graph.text(site)}":
            added = f"{statement.label} = {statement.label} + {term}"
            return (InsertStmt(statement, f"if {guard}:\n    {added}" if guard else added),)
        whole = f"({term} if {guard} else 0.0)" if guard else term
        return (ReplaceExpr(site, f"{graph.text(site)} + {whole}"),)


KIND = InsertZLoss()
