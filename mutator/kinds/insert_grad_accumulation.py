"""insert-grad-accumulation: update the weights once for several batches."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.facts import block_of
from mutator.intents import InsertStmt, Intent, ReplaceExpr, Span, WrapStmts
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import accumulates, below, counter, step_at, unused

if TYPE_CHECKING:
    from collections.abc import Mapping

_BATCHES = Between(2, 32, (2, 4, 8))
_OWN = "micro_step"
_LOOP = """\
import torch
opt = torch.optim.SGD(model.parameters(), lr=1)
for i, x in enumerate(data):
    {zero}loss = model(x)
    {backward}
    # bounded, then applied
    {step}total += loss.item()
"""
_WHILE = """\
import torch
class Trainer:
    def __init__(self, model):
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1)
    def run(self, budget):{start}
        while budget.progress() < 1.0:
            loss = self.compute()
            {backward}{count}
            {step}
            budget.spend(1)
"""
_PLAIN = _LOOP.format(
    zero="opt.zero_grad()\n    ",
    backward="loss.backward()",
    step="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n    opt.step()\n    ",
)


class InsertGradAccumulation(EditKind):
    """Let several rounds of a training loop add to the gradients before the optimizer steps.

    Why: fewer, larger batches at the memory of small ones; noise of the gradient against number of updates. Source: McCandlish et al. 2018
    (arXiv:1812.06162). Each round still takes one batch, so that whatever counts rounds, tokens or time goes on counting it. The loss is
    divided where it is sent backward; clipping, unscaling, stepping and zeroing wait for the last round. Schedules are left as they are:
    they follow the rounds. Not offered where the loop accumulates already, or where branches step the optimizer.
    """

    name = "insert-grad-accumulation"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _PLAIN},
            "insert-grad-accumulation@a:/stmt.step?batches=4",
            {
                "a.py": _LOOP.format(
                    zero="if i % 4 == 0:\n        opt.zero_grad()\n    ",
                    backward="(loss / 4).backward()",
                    step="if (i + 1) % 4 == 0:\n        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n        opt.step()\n    ",
                )
            },
        ),
        Example(
            {
                "a.py": _WHILE.format(
                    start="",
                    backward="loss.backward()",
                    count="",
                    step="self.optimizer.step()\n            self.optimizer.zero_grad()",
                )
            },
            "insert-grad-accumulation@a:Trainer.run/stmt.step?batches=2",
            {
                "a.py": _WHILE.format(
                    start="\n        micro_step = 0",
                    backward="(loss / 2).backward()",
                    count="\n            micro_step += 1",
                    step="if micro_step % 2 == 0:\n                self.optimizer.step()\n                self.optimizer.zero_grad()",
                )
            },
        ),
        Example(
            {
                "a.py": _LOOP.format(
                    zero="",
                    backward="scaler.scale(loss).backward()",
                    step="scaler.step(opt)\n    scaler.update()\n    opt.zero_grad()\n    ",
                ).replace("opt = ", "scaler = torch.amp.GradScaler()\nopt = ", 1)
            },
            "insert-grad-accumulation@a:/stmt.step?batches=2",
            {
                "a.py": _LOOP.format(
                    zero="",
                    backward="(scaler.scale(loss) / 2).backward()",
                    step="if (i + 1) % 2 == 0:\n        scaler.step(opt)\n        scaler.update()\n        opt.zero_grad()\n    ",
                ).replace("opt = ", "scaler = torch.amp.GradScaler()\nopt = ", 1)
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _PLAIN.replace("    opt.step()", "    if fast:\n        opt.step()")},
            "insert-grad-accumulation@a:/stmt.step?batches=2",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _PLAIN.replace("    opt.step()", "    if i % 4 == 3:\n        opt.step()")},
            "insert-grad-accumulation@a:/stmt.step?batches=2",
            Reason.ALREADY,
        ),
        Refusal(
            {
                "a.py": "import torch\ndef f(loss, ps):\n    opt = torch.optim.SGD(ps)\n    loss.backward()\n    opt.step()\n"
            },
            "insert-grad-accumulation@a:f/stmt.step?batches=2",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _PLAIN.replace("loss.backward()", "loss.backward(torch.ones(3))")},
            "insert-grad-accumulation@a:/stmt.step?batches=2",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _PLAIN.replace("    opt.zero_grad()\n", "")},
            "insert-grad-accumulation@a:/stmt.step?batches=2",
            Reason.ORDER,
        ),
        Refusal(
            {"a.py": _PLAIN.replace("for i, x in enumerate(data)", "micro_step = 1\nfor x in data")},
            "insert-grad-accumulation@a:/stmt.step?batches=2",
            Reason.NAME_CLASH,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How many batches, where one backward pass and one step make a round of a loop."""
        step = step_at(graph, site) if site.label == "step" else None
        if step is None or step.loop is None or not step.backward:
            return Reason.NO_SITE
        if accumulates(graph, step):
            return Reason.ALREADY
        if graph.parent(site) != step.loop:
            return Reason.SHARED
        taken = [read_call(graph, call) for call in step.backward]
        if len(taken) != 1 or len(step.updates) != 1 or taken[0].arguments:
            return Reason.UNKNOWN_VALUE
        if not step.zero_grads or any(graph.parent(call) != graph.statement(call) for call in step.zero_grads):
            return Reason.ORDER
        named = counter(graph, step, site) or unused(graph, site, _OWN)
        return choose(batches=_BATCHES) if named else Reason.NAME_CLASH

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Divide the loss where it is sent backward, and put what updates under a condition on the number of the round."""
        step = step_at(graph, site)
        if step is None or step.loop is None:  # the domain said that it is one
            return ()
        index, batches = counter(graph, step, site), choice["batches"]
        first = f"if {index or _OWN} % {batches} == 0:"
        last = f"if ({index} + 1) % {batches} == 0:" if index else first
        run = _updating(graph, site)
        rest = [s for call in step.zero_grads if (s := graph.statement(call)) and s not in run]
        counted = [InsertStmt(step.loop, f"{_OWN} = 0", before=True), InsertStmt(run[0], f"{_OWN} += 1", before=True)]
        return (
            _divided(graph, step.backward[0], batches),
            *([] if index else counted),
            *(WrapStmts(s, s, first if s.start < site.start else last) for s in rest),
            WrapStmts(run[0], run[-1], last),
        )


def _divided(graph: CodeGraph, backward: Node, batches: Scalar) -> Intent:
    loss = read_call(graph, backward).function.removesuffix(".backward")
    whole = fill("{loss} / " + str(batches), loss=loss)
    return ReplaceExpr(Span(backward.path, backward.start, backward.start + len(loss.encode())), f"({whole})")


def _updating(graph: CodeGraph, site: Node) -> tuple[Node, ...]:
    """Return the statements around a step, without a gap, that only make sense together with it."""
    block = block_of(graph, site)
    position = block.index(site)
    before = list(takewhile(lambda s: _updates(graph, s), reversed(block[:position])))
    behind = list(takewhile(lambda s: _updates(graph, s), block[position + 1 :]))
    return (*reversed(before), site, *behind)


def _updates(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement clips, unscales, or is another part of an update: no schedule, which follows the rounds."""
    calls = tuple(below(graph, statement))
    clips = any(call.label.startswith("clip_grad") for call in calls)
    scales = any(
        c.endswith(("GradScaler.unscale_", "GradScaler.update")) for call in calls for c in graph.callees(call)
    )
    return statement.label != "for" and (clips or scales or statement.label == "zero_grad")


KIND = InsertGradAccumulation()
