"""swap-loss: train on another loss; what is measured stays what it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.callees import argument_of, runs_only, spell
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.facts import FUNCTIONAL
from mutator.intents import InsertStmt, Intent, ReplaceExpr, ReplaceStmt
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.losses import training_guard
from mutator.steps import unused

if TYPE_CHECKING:
    from collections.abc import Mapping

# How far off, for numbers: functional name -> module class. Their further options mean different things and are dropped.
_DISTANCES = {"mse_loss": "MSELoss", "l1_loss": "L1Loss", "smooth_l1_loss": "SmoothL1Loss", "huber_loss": "HuberLoss"}
_CLASSES = {module: name for name, module in _DISTANCES.items()}
_LIKELIHOODS = frozenset({"cross_entropy", "nll_loss"})
_FOCAL = {
    "focal_1": 1.0,
    "focal_2": 2.0,
    "focal_3": 3.0,
}  # below 1 the gradient of a target that is certain is not finite
_GPT = """\
import torch.nn as nn
from torch.nn import functional as F
class GPT(nn.Module):
    def forward(self, x, targets, reduction="mean"):
        logits = self.head(x)
        loss = F.cross_entropy(logits, targets.view(-1), ignore_index=-1, reduction=reduction)
        return loss
"""
_GPT_FOCAL = """\
import torch.nn as nn
from torch.nn import functional as F
class GPT(nn.Module):
    def forward(self, x, targets, reduction="mean"):
        logits = self.head(x)
        if self.training and reduction == "mean":
            nll = F.cross_entropy(logits, targets.view(-1), ignore_index=-1, reduction="none")
            loss = ((1 - (-nll).exp()) ** 2.0 * nll).sum() / (targets.view(-1) != -1).sum()
        else:
            loss = F.cross_entropy(logits, targets.view(-1), ignore_index=-1, reduction=reduction)
        return loss
"""
_LOOP = """\
import torch.nn.functional as F
def train(model, data):
    for x, y in data:
        {loss}
        loss.backward()
def test(model, x, y):
    return F.{test}(model(x), y).item()
"""
_CRITERION = """\
from torch import nn
def train(model, data):
    criterion = nn.{loss}
    for x, y in data:
        criterion(model(x), y).backward()
"""


class SwapLoss(EditKind):
    """Swap a regression loss for another one, or weight a cross entropy by how wrong the model is (focal), while training.

    Why: the tails of the errors decide what a regression fits; a focal loss spends the gradient on what is not learned yet.
    Source: Huber 1964; focal loss, Lin et al. 2017 (arXiv:1708.02002), with the mean taken over the targets that are not ignored.
    A module that also serves the evaluation takes the new loss `if self.training`. Not offered for a loss that anything but a backward pass
    uses, which would be another metric, nor with class weights.
    """

    name = "swap-loss"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _LOOP.format(loss="loss = F.mse_loss(model(x), y, reduction='sum')", test="mse_loss")},
            "swap-loss@a:train/call.mse_loss?to=huber_loss",
            {"a.py": _LOOP.format(loss="loss = F.huber_loss(model(x), y, reduction='sum')", test="mse_loss")},
        ),
        Example(
            {"a.py": _CRITERION.format(loss="SmoothL1Loss(beta=0.5)")},
            "swap-loss@a:train/call.SmoothL1Loss?to=mse_loss",
            {"a.py": _CRITERION.format(loss="MSELoss()")},
        ),
        Example({"a.py": _GPT}, "swap-loss@a:GPT.forward/call.cross_entropy?to=focal_2", {"a.py": _GPT_FOCAL}),
        Example(
            {"a.py": _LOOP.format(loss="loss = F.cross_entropy(model(x), y)", test="cross_entropy")},
            "swap-loss@a:train/call.cross_entropy?to=focal_1",
            {
                "a.py": _LOOP.format(
                    loss='nll = F.cross_entropy(model(x), y, reduction="none")\n'
                    "        loss = ((1 - (-nll).exp()) ** 1.0 * nll).mean()",
                    test="cross_entropy",
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _LOOP.format(loss="loss = F.mse_loss(model(x), y)", test="mse_loss")},
            "swap-loss@a:test/call.mse_loss?to=l1_loss",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _CRITERION.format(loss="MSELoss()") + "        best = criterion(model(x), y).item()\n"},
            "swap-loss@a:train/call.MSELoss?to=l1_loss",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _LOOP.format(loss="loss = F.cross_entropy(model(x), y, weight=w)", test="cross_entropy")},
            "swap-loss@a:train/call.cross_entropy?to=focal_2",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal({"a.py": _GPT}, "swap-loss@a:GPT.forward/call.view?to=focal_2", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other losses, where one is computed or set up for training alone, or the module can tell that it trains."""
        name = _name(graph, site)
        if not name:
            return Reason.NO_SITE
        if read_call(graph, site).starred:
            return Reason.UNKNOWN_VALUE
        guard = _guard(graph, site)
        if isinstance(guard, Reason):
            return guard
        if name not in _LIKELIHOODS:
            return choose(to=[other for other in _DISTANCES if other != name])
        return choose(to=_FOCAL) if _focal(graph, site, 1.0, guard) else Reason.UNKNOWN_VALUE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put the other loss in place, under the condition that the model trains where it serves the evaluation too."""
        to, guard = str(choice["to"]), _guard(graph, site)
        if isinstance(guard, Reason):
            return ()
        if to in _FOCAL:
            return _focal(graph, site, _FOCAL[to], guard)
        made = site.label in _CLASSES
        text, imports = spell(graph, site, f"torch.nn.{_DISTANCES[to]}" if made else f"{FUNCTIONAL}.{to}")
        kept = [a for a in read_call(graph, site).arguments if a.name in ("", "input", "target", "reduction")]
        new = f"{text}({', '.join(f'{a.name}={a.value}' if a.name else a.value for a in kept)})"
        return (*imports, ReplaceExpr(site, f"{new} if {guard} else {graph.text(site)}" if guard else new))


def _name(graph: CodeGraph, call: Node) -> str:
    if call.label not in _DISTANCES and call.label not in _CLASSES and call.label not in _LIKELIHOODS:
        return ""
    path, given = runs_only(graph, call), [a for a in read_call(graph, call).arguments if not a.name]
    if path == f"torch.nn.{call.label}":
        return _CLASSES.get(call.label, "") if not given else ""
    return call.label if path == f"{FUNCTIONAL}.{call.label}" and len(given) <= 2 else ""


def _guard(graph: CodeGraph, site: Node) -> str | Reason:
    """Return the condition; a criterion has none to test, so everyone who applies one of its class must train."""
    if site.label not in _CLASSES:
        return training_guard(graph, site)
    uses = [graph.nodes[slot] for slot in graph.sources(f"torch.nn.{site.label}.__call__", EdgeKind.CALLS)]
    return "" if uses and all(training_guard(graph, use) == "" for use in uses) else Reason.SHARED


def _focal(graph: CodeGraph, site: Node, gamma: float, guard: str) -> tuple[Intent, ...]:
    """Say how each target is weighted by (1 - p) ** gamma; nothing where the mean is taken in a way that is not known."""
    call, statement = read_call(graph, site), graph.statement(site)
    reduction, ignored = call.keyword("reduction"), call.keyword("ignore_index")
    target = argument_of(graph, site, "target", 1)
    plain = reduction is None or reduction.value.strip("'\"") == "mean"
    if (
        statement is None or target is None or call.keyword("weight") or call.keyword("label_smoothing") or not unused(graph, site, "nll")
        or not (plain or (guard and reduction is not None and reduction.value.isidentifier()))
    ):  # fmt: skip
        return ()
    kept = [f"{a.name}={a.value}" if a.name else a.value for a in call.arguments if a.name != "reduction"]
    nll = f'nll = {call.function}({", ".join(kept)}, reduction="none")'
    weighted = f"((1 - (-nll).exp()) ** {gamma} * nll)"
    mean = f"{weighted}.sum() / ({target.value} != {ignored.value}).sum()" if ignored else f"{weighted}.mean()"
    before, whole = graph.text(statement).removesuffix(graph.text(site)), graph.text(statement)
    if "\n" in graph.text(site):  # on one line, as its block is deeper
        old = ", ".join(re.sub(r"\s*\n\s*", " ", f"{a.name}={a.value}" if a.name else a.value) for a in call.arguments)
        whole = f"{before}{call.function}({old})"
        nll = re.sub(r"\s*\n\s*", " ", nll)
    if not guard:
        return (InsertStmt(statement, nll, before=True), ReplaceExpr(site, mean))
    if before == graph.text(statement) or before.rstrip()[-1:] not in ("=", "n"):
        return ()  # part of a larger expression
    condition = guard if plain or reduction is None else f'{guard} and {reduction.value} == "mean"'
    text = f"if {condition}:\n    {nll}\n    {before}{mean}\nelse:\n    {whole}"
    return (ReplaceStmt(statement, text),)


KIND = SwapLoss()
