"""insert-grad-clip: bound the gradients before the optimizer steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import EnsureImport, InsertStmt, Intent, Promise
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import calls_of, calls_within, scaler_of, step_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mutator.steps import Step

_LIMITS = Between(0.001, 10.0, (0.01, 0.1, 1.0))
_FUNCTIONS = {"norm": "clip_grad_norm_", "value": "clip_grad_value_"}
_STEP = """\
import torch
class Net(torch.nn.Module): ...
model = Net()
opt = torch.optim.SGD(model.parameters(), lr=1)
for x in data:
    loss = model(x)
    loss.backward(){clip}
    opt.step()
"""
_SCALED = """\
import torch
from torch import nn
class Net(nn.Module):
    def forward(self, x): return x.mean()
model = Net()
opt = torch.optim.AdamW(model.parameters())
scaler = torch.amp.GradScaler() if half else None
while True:
    for micro_step in range(4):
        loss = model(x) / 4
        if scaler is not None:
            scaler.scale(loss).backward()
        else:
            loss.backward()
    if scaler is not None:{unscale}
        scaler.step(opt)  # skips when a gradient is infinite
        scaler.update()
    else:{clip}
        opt.step()
    model.zero_grad(set_to_none=True)
"""
_TRAINER = """\
import torch
class Trainer:
    def __init__(self, optimizer, losses):
        self.optimizer = torch.optim.SGD(optimizer)
        self.losses = losses
    def step(self, loss):
        self.optimizer.zero_grad()
        loss.backward(){clip}
        self.optimizer.step()
"""
_CLIP = "torch.nn.utils.clip_grad_norm_(model.parameters(), {limit})"


class InsertGradClip(EditKind):
    """Insert a clipping of the gradients right before an optimizer steps, behind all micro-batches: of their norm, or of each value.

    Why: rare large gradients decide short runs at high learning rates. Source: Pascanu et al. 2013 (arXiv:1211.5063).
    Where a GradScaler steps, the gradients are unscaled first; where branches step one optimizer, each clips. What is clipped are the
    parameters of the one model that runs forward in the loop, else all that the optimizer holds.
    Not offered where the loop clips already, or where no backward pass precedes the step in its loop.
    """

    name = "insert-grad-clip"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _STEP.format(clip="")},
            "insert-grad-clip@a:/stmt.step?by=norm&max=1.0",
            {"a.py": _STEP.format(clip="\n    " + _CLIP.format(limit=1.0))},
        ),
        Example(
            {"a.py": _SCALED.format(unscale="", clip="")},
            "insert-grad-clip@a:/stmt.step?by=norm&max=0.1",
            {
                "a.py": _SCALED.format(
                    unscale=f"\n        scaler.unscale_(opt)\n        {_CLIP.format(limit=0.1)}",
                    clip="\n        " + _CLIP.format(limit=0.1),
                )
            },
        ),
        Example(
            {"a.py": _TRAINER.format(clip="")},
            "insert-grad-clip@a:Trainer.step/stmt.step?by=value&max=0.1",
            {
                "a.py": _TRAINER.format(
                    clip="\n        torch.nn.utils.clip_grad_value_("
                    '[p for group in self.optimizer.param_groups for p in group["params"]], 0.1)'
                )
            },
        ),
        Example(
            {
                "a.py": "from torch.optim import SGD\ndef fit(loss, ps):\n\topt = SGD(ps)\n\tloss.backward()\n\topt.step()\n"
            },
            "insert-grad-clip@a:fit/stmt.step?by=norm&max=0.1",
            {
                "a.py": "from torch.optim import SGD\nimport torch\ndef fit(loss, ps):\n\topt = SGD(ps)\n\tloss.backward()\n"
                '\ttorch.nn.utils.clip_grad_norm_([p for group in opt.param_groups for p in group["params"]], 0.1)\n\topt.step()\n'
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _STEP.format(clip="\n    if clip:\n        " + _CLIP.format(limit="clip"))},
            "insert-grad-clip@a:/stmt.step?by=norm&max=1.0",
            Reason.ALREADY,
        ),
        Refusal({"a.py": "opt.step()\n"}, "insert-grad-clip@a:/stmt.step?by=norm&max=1.0", Reason.NO_SITE),
        Refusal(
            {"a.py": "import torch\nopt = torch.optim.SGD(ps)\nopt.step()\n"},
            "insert-grad-clip@a:/stmt.step?by=norm&max=1.0",
            Reason.ORDER,
        ),
        Refusal(
            {"a.py": _STEP.format(clip="").replace("loss.backward()", "loss.backward(); torch = None")},
            "insert-grad-clip@a:/stmt.step?by=norm&max=1.0",
            Reason.NAME_CLASH,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """What is bounded, and by how much, where an optimizer steps after a backward pass."""
        if site.label != "step":
            return Reason.NO_SITE
        step = step_at(graph, site)
        if step is None:
            return Reason.NO_SITE
        if not step.backward:
            return Reason.ORDER
        return Reason.ALREADY if step.clips else choose(by=_FUNCTIONS, max=_LIMITS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Clip before each update of the optimizer; later edits keep it between the backward pass and the step."""
        step = step_at(graph, site)
        if step is None:  # the domain said that it is one
            return ()
        function = _FUNCTIONS[str(choice["by"])]
        clip = f"torch.nn.utils.{function}({step.weights}, {choice['max']})"
        inserted = [
            InsertStmt(graph.statement(update) or site, text, before=True)
            for update in step.updates
            for text in (*_unscaling(graph, step, update), clip)
        ]
        steps = [call for call in calls_within(graph, step.scope, site.path) if call.label == "step"]
        first = steps[0] == step.updates[0]  # a promise is about the first calls of its unit
        promises = [Promise(step.scope, f"backward < {function} < step")] if first else []
        return (EnsureImport(site, "torch", "torch"), *inserted, *promises)


def _unscaling(graph: CodeGraph, step: Step, update: Node) -> Iterator[str]:
    """Unscale the gradients where a scaler steps, unless that was done."""
    scaler = scaler_of(graph, update)
    before = (call for call in calls_of(graph, step.scope, update.path) if call.start < update.start)
    if scaler and not any(call.label == "unscale_" for call in before):
        yield f"{scaler}.unscale_({step.optimizer})"


KIND = InsertGradClip()
