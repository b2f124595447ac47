"""guard-statement: do something in a training loop only every so many rounds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, WrapStmts
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.losses import sent_backward
from mutator.steps import below, body_of, counter, loop_of, measures, plays, steps_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mutator.losses import sent_backward
from mutator.steps import Step

_EVERY = Between(2, 1000, (2, 5, 20))
_ROLES = ("forward", "loss", "backward", "step", "zero_grad", "evaluation", "schedule")
# What keeps the loop, its clock, its log or its data going.
_NEEDED = re.compile(
    r"backward|clip|step|zero_grad|update|unscale|print|log|write|eval|train|save|sync|synchronize|barrier|spend|next|exit|time|tick|close|append|no_sync"
)
_GROUPS = re.compile(r"for \w+ in [\w.]+\.param_groups:?")
_LOOP = """\
import torch
class Net(torch.nn.Module):
    def forward(self, x): return x
model = Net()
opt = torch.optim.AdamW(model.parameters())
for step in range(1000):
{lr}
    x = batch()
    loss = model(x)
    loss = loss + 0.1 * model.auxiliary(x)
    loss.backward()
    opt.step()
    opt.zero_grad()
    print(loss.item())
"""
_LR = '    for group in opt.param_groups:  # falls\n        group["lr"] = 1e-3 * (1 - step / 1000)'
_INDENTED = "\n".join(f"    {line}" for line in _LR.split("\n"))


class GuardStatement(EditKind):
    """Put an optional statement of a training loop under `if step % k == 0:`.

    Why: what need not be exact can be rare: a learning rate that hardly moves, an auxiliary loss, a projection or normalisation of the
    weights. Source: lazy regularization, Karras et al. 2020 (arXiv:1912.04958), section 3.1. Optional are loops that set what the groups
    of an optimizer hold, calls whose result nobody takes, and additions to a value that is there without them. Never guarded: the forward
    and backward pass, steps, zeroing, the budget, clocks, logs, data and what measures.
    """

    name = "guard-statement"
    family = Family.DELETE
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _LOOP.format(lr=_LR)},
            "guard-statement@a:/stmt.for.1?every=20",
            {"a.py": _LOOP.format(lr=f"    if step % 20 == 0:\n{_INDENTED}")},
        ),
        Example(
            {"a.py": _LOOP.format(lr="    pass")},
            "guard-statement@a:/stmt.loss.1?every=2",
            {
                "a.py": _LOOP.format(lr="    pass").replace(
                    "    loss = loss +", "    if step % 2 == 0:\n        loss = loss +"
                )
            },
        ),
        Example(
            {"a.py": _LOOP.format(lr="    model.project(0.9)")},
            "guard-statement@a:/stmt.project?every=5",
            {"a.py": _LOOP.format(lr="    if step % 5 == 0:\n        model.project(0.9)")},
        ),
    )
    refusals = (
        Refusal({"a.py": _LOOP.format(lr="    pass")}, "guard-statement@a:/stmt.backward?every=5", Reason.CONTRACT),
        Refusal({"a.py": _LOOP.format(lr="    pass")}, "guard-statement@a:/stmt.print?every=5", Reason.CONTRACT),
        Refusal({"a.py": _LOOP.format(lr="    pass")}, "guard-statement@a:/stmt.x?every=5", Reason.ORDER),
        Refusal(
            {"a.py": _LOOP.format(lr="    model.project(0.9)").replace("for step in range(1000)", "while True")},
            "guard-statement@a:/stmt.project?every=5",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": "def f(model):\n    model.project(0.9)\n"},
            "guard-statement@a:f/stmt.project?every=5",
            Reason.NO_SITE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How rarely, where a statement stands directly in the loop that takes the steps and the loop counts its rounds."""
        loop = graph.parent(site)
        if loop is None or loop.label not in ("for", "while") or loop.kind is not NodeKind.STATEMENT:
            return Reason.NO_SITE
        step = next((s for s in steps_in(graph, site.scope, site.path) if s.loop == loop), None)
        if step is None:
            return Reason.NO_SITE
        if _is_needed(graph, site):
            return Reason.CONTRACT
        if not _is_optional(graph, site, step):
            return Reason.ORDER
        return choose(every=_EVERY) if counter(graph, step, site) else Reason.UNKNOWN_VALUE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put the statement with its block under the condition."""
        step = next((s for s in steps_in(graph, site.scope, site.path) if s.loop == loop_of(graph, site)), None)
        if step is None:  # the domain said that there is one
            return ()
        return (WrapStmts(site, site, f"if {counter(graph, step, site)} % {choice['every']} == 0:"),)


def _is_needed(graph: CodeGraph, site: Node) -> bool:
    """Whether a statement, or what stands in it, trains, measures, counts or reports."""
    calls = tuple(below(graph, site))
    roles = any(plays(graph, call, role) for call in calls for role in _ROLES)
    jumps = any(inner.label in ("break", "continue", "return", "raise", "assert") for inner in _all(graph, site))
    return roles or jumps or any(_NEEDED.search(call.label) for call in calls) or measures(graph, site)


def _is_optional(graph: CodeGraph, site: Node, step: Step) -> bool:
    text = graph.text(site)
    if site.label == "for":
        return bool(_GROUPS.match(text)) and all("[" in graph.text(s).partition("=")[0] for s in body_of(graph, site))
    if re.match(rf"{site.label} (\+= |= {site.label} \+ )", text):
        return sent_backward(graph, site)
    called = [call for call in below(graph, site) if graph.parent(call) == site]
    return bool(called) and graph.text(called[0]) == text and step.model != "" and step.model in text


def _all(graph: CodeGraph, statement: Node) -> Iterator[Node]:
    yield statement
    for inner in body_of(graph, statement):
        yield from _all(graph, inner)


KIND = GuardStatement()
