"""insert-warmup: let the learning rate rise over the first updates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.facts import calls_in
from mutator.intents import EnsureImport, InsertStmt, Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import bound_before, counter, leaves, loop_of, plays, repeated, step_at, steps_in, unused, updated_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mutator.steps import Step

_UPDATES = Between(2, 5000, (20, 100, 500))
_EPOCHS = Between(2, 20, (2, 5))
_KNOWN = re.compile(r"warm_?up(?!_time)|OneCycleLR|CyclicLR", re.IGNORECASE)
_WRITER = re.compile(r"(\w+)\[([\"'])lr\2\] = (.+)", re.DOTALL)
_SCHEDULERS = "torch.optim.lr_scheduler."
# Their rate does not depend on metrics, and starts at the top.
_FALLING = frozenset(
    {
        "CosineAnnealingLR",
        "StepLR",
        "MultiStepLR",
        "ExponentialLR",
        "LambdaLR",
        "PolynomialLR",
        "CosineAnnealingWarmRestarts",
    }
)
_OWN = "warmup"
_CONSTANT = """\
import torch
def main():
    model = Net()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3){start}
    for epoch in range(3):
        for x in data:
            model(x).backward()
            opt.step(){step}
            opt.zero_grad()
"""
_WRITTEN = """\
import torch
opt = torch.optim.AdamW(groups)
for step in range(total):
    for group in opt.param_groups:
        group["lr"] = {value}  # falls linearly
    loss(step).backward()
    opt.step()
"""
_SCHEDULED = """\
import torch
from torch.optim import lr_scheduler
opt = torch.optim.SGD(model.parameters(), lr=0.1)
{made}
for epoch in range(90):
    for x in data:
        model(x).backward()
        opt.step()
    sched.step()
"""
_COSINE = "lr_scheduler.CosineAnnealingLR(opt, T_max=90)"


class InsertWarmup(EditKind):
    """Let the learning rate rise linearly over the first updates, on top of whatever schedule there is.

    Why: Adam's second moments are unreliable at the start, so large first steps cost more than they win. Source: Goyal et al. 2017
    (arXiv:1706.02677); Kalra and Barkeshli 2024 (arXiv:2406.09405). Where a loop sets `group["lr"]`, what it sets is multiplied; where a
    scheduler of torch is made, a `LinearLR` runs before it, for updates or for epochs, whichever it steps in; where the learning rate is
    constant, a `LinearLR` is added. Not offered where something of the file is called a warm-up: its length is then a number to edit.
    """

    name = "insert-warmup"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _CONSTANT.format(start="", step="")},
            "insert-warmup@a:main/stmt.step?rounds=100",
            {
                "a.py": _CONSTANT.format(
                    start="\n    warmup = torch.optim.lr_scheduler.LinearLR(opt, start_factor=1 / 100, total_iters=100)",
                    step="\n            warmup.step()",
                )
            },
        ),
        Example(
            {"a.py": _WRITTEN.format(value="base_lr * (1 - step / total)")},
            "insert-warmup@a:/stmt.unpack?rounds=20",
            {"a.py": _WRITTEN.format(value="min(1.0, (step + 1) / 20) * (base_lr * (1 - step / total))")},
        ),
        Example(
            {"a.py": _SCHEDULED.format(made=f"sched = {_COSINE}  # per epoch")},
            "insert-warmup@a:/stmt.sched?rounds=5",
            {
                "a.py": _SCHEDULED.format(
                    made="sched = torch.optim.lr_scheduler.SequentialLR(opt, [torch.optim.lr_scheduler.LinearLR(opt, start_factor=1 / 5,"
                    f" total_iters=5), {_COSINE}], milestones=[5])  # per epoch"
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _WRITTEN.format(value="min(1, step / warmup_steps) * base_lr")},
            "insert-warmup@a:/stmt.unpack?rounds=20",
            Reason.ALREADY,
        ),
        Refusal({"a.py": _WRITTEN.format(value="base_lr")}, "insert-warmup@a:/stmt.step?rounds=20", Reason.NO_EFFECT),
        Refusal(
            {"a.py": _WRITTEN.format(value="base_lr").replace("for step in range(total)", "while (step := ask()) < 1")},
            "insert-warmup@a:/stmt.unpack?rounds=20",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {
                "a.py": _CONSTANT.format(start="", step="")
                .replace("def main():", "def main(model, opt):")
                .replace("    opt = torch.optim.AdamW(model.parameters(), lr=1e-3)\n", "")
                + "for i in range(2):\n    main(model, torch.optim.SGD(model.parameters()))\n"
            },
            "insert-warmup@a:main/stmt.step?rounds=20",
            Reason.SHARED,
        ),
        Refusal({"a.py": "opt.step()\n"}, "insert-warmup@a:/stmt.step?rounds=20", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Over how many updates, or epochs, where a learning rate is set, scheduled, or constant."""
        if site.label == "unpack":
            return _where_written(graph, site)
        if site.label == "step":
            return _where_constant(graph, site)
        return _where_scheduled(graph, site)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Multiply what is set; else put a `LinearLR` before the scheduler, or add one."""
        rounds = int(choice["rounds"])
        if site.label == "unpack":
            return _multiplied(graph, site, rounds)
        step = step_at(graph, site) if site.label == "step" else None
        torch = EnsureImport(site, "torch", "torch")
        if step is not None:
            made = f"{_OWN} = {_linear(step.optimizer, rounds)}"
            stepped = InsertStmt(updated_by(graph, step), f"{_OWN}.step()")
            return (torch, InsertStmt(step.loops[0], made, before=True), stepped)
        call = next(calls_in(graph, site))
        optimizer = read_call(graph, call).arguments[0].value
        both = f"[{_linear(optimizer, rounds)}, {graph.text(call)}]"
        return (torch, ReplaceExpr(call, f"{_SCHEDULERS}SequentialLR({optimizer}, {both}, milestones=[{rounds}])"))


def _linear(optimizer: str, rounds: int) -> str:
    return f"{_SCHEDULERS}LinearLR({optimizer}, start_factor=1 / {rounds}, total_iters={rounds})"


def _where_written(graph: CodeGraph, site: Node) -> Domain | Reason:
    if not _WRITER.fullmatch(graph.text(site)) or loop_of(graph, site) is None:
        return Reason.NO_SITE
    step = _step_around(graph, site)
    if step is None:
        return Reason.NO_SITE
    if _warms_up(graph, site):
        return Reason.ALREADY
    return choose(rounds=_UPDATES) if counter(graph, step, site) else Reason.UNKNOWN_VALUE


def _multiplied(graph: CodeGraph, site: Node, rounds: int) -> tuple[Intent, ...]:
    step, found = _step_around(graph, site), _WRITER.fullmatch(graph.text(site))
    if step is None or found is None:  # the domain said that they are there
        return ()
    index, value = counter(graph, step, site), found[3]
    start = site.end - len(value.encode())
    text = fill(f"min(1.0, ({index} + 1) / {rounds}) * {{value}}", value=value)
    return (ReplaceExpr(Span(site.path, start, site.end), text),)


def _step_around(graph: CodeGraph, site: Node) -> Step | None:
    """Return the step of the loop that sets a learning rate, in a loop over groups of its own."""
    loop = loop_of(graph, site)
    outer = loop_of(graph, loop) if loop is not None else None
    steps = steps_in(graph, site.scope, site.path)
    return next((step for step in steps if step.loop is not None and step.loop in (loop, outer)), None)


def _where_constant(graph: CodeGraph, site: Node) -> Domain | Reason:
    step = step_at(graph, site)
    if step is None or step.loop is None or not step.backward:
        return Reason.NO_SITE
    if _warms_up(graph, site):
        return Reason.ALREADY
    written = any(_sets_rate(graph, node) for node in graph.of_kind(NodeKind.STATEMENT) if node.label == "unpack")
    if written or any(plays(graph, c, "schedule") for c in graph.of_kind(NodeKind.CALL) if c.label == "step"):
        return Reason.NO_EFFECT
    if not unused(graph, site, _OWN):
        return Reason.NAME_CLASH
    if repeated(graph, step.scope):
        return Reason.SHARED
    known = any(callee.startswith("torch.optim.") for call in step.updates for callee in graph.callees(call))
    ready = bound_before(graph, step.optimizer.partition(".")[0], step.loops[0]) and not leaves(graph, step.loops[0])
    return (choose(rounds=_UPDATES) if ready else Reason.ORDER) if known else Reason.UNKNOWN_VALUE


def _sets_rate(graph: CodeGraph, statement: Node) -> bool:
    return bool(_WRITER.match(graph.text(statement)))


def _where_scheduled(graph: CodeGraph, site: Node) -> Domain | Reason:
    made = next(calls_in(graph, site), None) if graph.targets(site.slot, EdgeKind.WRITES) else None
    callees = graph.callees(made) if made is not None else ()
    name = callees[0].removeprefix(_SCHEDULERS) if len(callees) == 1 else ""
    if made is None or name not in _FALLING or not graph.text(site).endswith(graph.text(made)):
        return Reason.NO_SITE
    if _warms_up(graph, site):
        return Reason.ALREADY
    call = read_call(graph, made)
    if not call.arguments or call.arguments[0].name:
        return Reason.UNKNOWN_VALUE
    stepped = [graph.nodes[slot] for slot in graph.sources(f"{_SCHEDULERS}{name}.step", EdgeKind.CALLS)]
    if not stepped:
        return Reason.UNKNOWN_VALUE
    return choose(rounds=_UPDATES if all(_follows_updates(graph, call) for call in stepped) else _EPOCHS)


def _follows_updates(graph: CodeGraph, call: Node) -> bool:
    """Whether a scheduler is stepped in the very loop that steps the optimizer."""
    loop = loop_of(graph, call)
    return any(step.loop == loop for step in steps_in(graph, call.scope, call.path))


def _warms_up(graph: CodeGraph, site: Node) -> bool:
    return bool(_KNOWN.search(graph.files[site.path].data.decode()))


KIND = InsertWarmup()
