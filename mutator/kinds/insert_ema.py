"""insert-ema: measure and save an average of the weights instead of the last ones."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import EnsureImport, InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import (
    after,
    below,
    bound_before,
    leaves,
    measured_runs,
    measures,
    repeated,
    step_at,
    steps_in,
    unused,
    updated_by,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mutator.steps import Step

_DECAYS = Between(0.9, 0.9999, (0.95, 0.99, 0.999))
_CALLBACK = re.compile(r"callback", re.IGNORECASE)
_KNOWN = re.compile(
    r"AveragedModel|swa_utils|\b(ema|swa|shadow|averaged?)_?(model|weights|params|parameters|state)|\bEMA\b\(|ModelEma"
)
_NAMES = ("ema_weights", "ema_updates", "live_weights")
_START = "ema_weights = [p.detach().clone().float() for p in {weights}]\nema_updates = 0"
_UPDATE = """\
ema_updates += 1
with torch.no_grad():
    torch._foreach_lerp_(ema_weights, [p.float() for p in {weights}], 1 - min({decay}, ema_updates / (ema_updates + 9)))"""
_KEEP = "live_weights = [p.detach().clone() for p in {weights}]\n"
_LOAD = "with torch.no_grad():\n    torch._foreach_copy_(list({weights}), {what})"
_MAIN = """\
import torch
from torch import nn
class Net(nn.Module):
    def forward(self, x): return x.mean()
model = Net()
opt = torch.optim.AdamW(model.parameters()){start}
for step in range(100):
    if step % 10 == 0:{swap}
        model.eval()
        with torch.no_grad():
            val_loss = model(held_out).item()
        model.train(){back}
    loss = model(batch())
    loss.backward()
    opt.step(){update}
    opt.zero_grad(){end}
torch.save(model.state_dict(), "model.pt")
"""
_TRAIN = """\
import torch
from save import save_model
from torch import nn
class Net(nn.Module):
    def forward(self, x): return x.mean()
def train(model: Net, batches, half):
    opt = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler(){start}
    while (batch := next(batches)) is not None:
        loss = model(batch)
        opt.zero_grad()
        if half:
            scaler.scale(loss).backward()
            scaler.step(opt)
            scaler.update()
        else:
            loss.backward()
            opt.step(){update}{end}
def main():
    model = Net()
    train(model, iter([1, 2, None]), False)
    save_model(model)
"""


def _lines(text: str, indent: int, decay: float = 0.99, what: str = "ema_weights") -> str:
    filled = text.format(weights="model.parameters()", decay=decay, what=what)
    return "".join(f"\n{' ' * indent}{line}" for line in filled.split("\n"))


class InsertEma(EditKind):
    """Keep an exponential moving average of the weights beside a training loop; measure it, save it and leave it in the model.

    Why: the average of the last steps is better than the last step, most of all where the learning rate does not decay to zero.
    Source: Polyak and Juditsky 1992; Izmailov et al. 2018 (arXiv:1803.05407). The decay starts low, `n / (n + 9)`, as in TensorFlow's
    ExponentialMovingAverage, or a short run would average its initialisation. In float32, since bfloat16 cannot add a thousandth.
    Around every evaluation and checkpoint in the loop the average is swapped in and out again; behind the loop it stays. Buffers, such
    as the statistics of batch norms, are those of the last step. Not offered where the loop runs once an epoch, in a function.
    """

    name = "insert-ema"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _MAIN.format(start="", swap="", back="", update="", end="")},
            "insert-ema@a:/stmt.step?decay=0.99",
            {
                "a.py": _MAIN.format(
                    start=_lines(_START, 0),
                    swap=_lines(_KEEP + _LOAD, 8),
                    back=_lines(_LOAD, 8, what="live_weights"),
                    update=_lines(_UPDATE, 4),
                    end=_lines(_LOAD, 0),
                )
            },
        ),
        Example(
            {"a.py": _TRAIN.format(start="", update="", end="")},
            "insert-ema@a:train/stmt.step?decay=0.999",
            {
                "a.py": _TRAIN.format(
                    start=_lines(_START, 4), update=_lines(_UPDATE, 8, decay=0.999), end=_lines(_LOAD, 4)
                )
            },
        ),
        Example(
            {"a.py": _TRAIN.format(start="", update="", end="").replace("model(batch)", "model(batch) + model.aux")},
            "insert-ema@a:train/stmt.step?decay=0.95",
            {
                "a.py": _TRAIN.format(
                    start=_lines(_START, 4), update=_lines(_UPDATE, 8, decay=0.95), end=_lines(_LOAD, 4)
                ).replace("model(batch)", "model(batch) + model.aux")
            },
        ),
    )
    refusals = (
        Refusal(
            {
                "a.py": _TRAIN.format(start="", update="", end="").replace(
                    "    train(model", "    for epoch in range(2):\n        train(model"
                )
            },
            "insert-ema@a:train/stmt.step?decay=0.99",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _MAIN.format(start="\nema_model = AveragedModel(model)", swap="", back="", update="", end="")},
            "insert-ema@a:/stmt.step?decay=0.99",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _MAIN.format(start="\nlive_weights = 3", swap="", back="", update="", end="")},
            "insert-ema@a:/stmt.step?decay=0.99",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {
                "a.py": _TRAIN.format(start="", update="", end="").replace(
                    "        opt.zero", "        if stop: return\n        opt.zero"
                )
            },
            "insert-ema@a:train/stmt.step?decay=0.99",
            Reason.ORDER,
        ),
        Refusal({"a.py": "def f(opt):\n    opt.step()\n"}, "insert-ema@a:f/stmt.step?decay=0.99", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How fast the average forgets, where the one optimizer of a loop steps, and the function around it runs once."""
        step = step_at(graph, site) if site.label == "step" else None
        if step is None or not step.loops or not step.backward:
            return Reason.NO_SITE
        if _KNOWN.search(graph.files[site.path].data.decode()):
            return Reason.ALREADY
        if not unused(graph, site, *_NAMES):
            return Reason.NAME_CLASH
        if leaves(graph, step.loops[0]) or not bound_before(graph, _root(step), step.loops[0]):
            return Reason.ORDER
        if not (_outlives(graph, step) or any(measured_runs(graph, step))):
            return Reason.NO_EFFECT
        if _CALLBACK.search(graph.text(graph.nodes[step.scope])):  # which may measure or save, and nobody sees it here
            return Reason.UNKNOWN_VALUE
        alone = sum(other.loop == step.loop for other in steps_in(graph, step.scope, site.path)) == 1
        plain = all(map(partial(_plain, graph), measured_runs(graph, step)))
        return choose(decay=_DECAYS) if alone and plain and not repeated(graph, step.scope) else Reason.SHARED

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Start before the outermost loop, update behind the step, swap around what measures, and load behind the loop."""
        step = step_at(graph, site)
        if step is None:  # the domain said that it is one
            return ()
        intents: list[Intent] = [
            EnsureImport(site, "torch", "torch"),
            InsertStmt(step.loops[0], _START.format(weights=step.weights), before=True),
            InsertStmt(updated_by(graph, step), _UPDATE.format(weights=step.weights, decay=choice["decay"])),
        ]
        load, back = (_LOAD.format(weights=step.weights, what=what) for what in ("ema_weights", "live_weights"))
        for first, last in measured_runs(graph, step):
            intents += [
                InsertStmt(first, _KEEP.format(weights=step.weights) + load, before=True),
                InsertStmt(last, back),
            ]
        return (*intents, InsertStmt(step.loops[0], load)) if _outlives(graph, step) else tuple(intents)


def _root(step: Step) -> str:
    return (step.model or step.optimizer).partition(".")[0]


def _plain(graph: CodeGraph, run: tuple[Node, Node]) -> bool:
    """Whether what measures neither trains nor leaves its block early."""
    inside = [n for n in graph.files[run[0].path].nodes if run[0].start <= n.start <= run[1].start]
    return not any(n.label in ("backward", "continue") for n in (*inside, *below(graph, run[1])))


def _outlives(graph: CodeGraph, step: Step) -> bool:
    """Whether anything behind the loop, or whoever called the function, may use the model again."""
    name = re.compile(rf"\b{_root(step)}\b")
    again = (
        measures(graph, following) or any(name.search(graph.text(n)) for n in (following, *below(graph, following)))
        for following in after(graph, step.loops[0])
    )
    return ":" in step.scope or any(again)


KIND = InsertEma()
