"""insert-grad-clip: bound the gradient norm before the optimizer steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.facts import block_of, calls_in, module_instances
from mutator.intents import EnsureImport, InsertStmt, Intent
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_NORMS = (0.1, 0.3, 1.0, 3.0)
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


class InsertGradClip:
    """Insert a clipping of the gradient norm between the backward pass and the step of the optimizer.

    Why: rare large gradients decide short runs at high learning rates. Source: Pascanu et al. 2013 (arXiv:1211.5063).
    Not offered where gradients are clipped or unscaled already, or where no backward pass precedes the step in the same block.
    """

    name = "insert-grad-clip"
    examples = (
        Example(
            {"a.py": _STEP.format(clip="")},
            "insert-grad-clip@a:/stmt.step?max_norm=1.0",
            {"a.py": _STEP.format(clip="\n    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)")},
        ),
        Example(
            {
                "a.py": "from torch.optim import SGD\ndef fit(loss, ps):\n\topt = SGD(ps)\n\tloss.backward()\n\topt.step()\n"
            },
            "insert-grad-clip@a:fit/stmt.step?max_norm=0.3",
            {
                "a.py": "from torch.optim import SGD\nimport torch\ndef fit(loss, ps):\n\topt = SGD(ps)\n\tloss.backward()\n"
                '\ttorch.nn.utils.clip_grad_norm_([p for group in opt.param_groups for p in group["params"]], 0.3)\n\topt.step()\n'
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _STEP.format(clip="\n    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)")},
            "insert-grad-clip@a:/stmt.step?max_norm=1.0",
            Reason.NO_SITE,
        ),
        Refusal({"a.py": "opt.step()\n"}, "insert-grad-clip@a:/stmt.step?max_norm=1.0", Reason.NO_SITE),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every statement that steps an optimizer of torch after a backward pass in its block, without clipping."""
        return (
            node
            for node in graph.of_kind(NodeKind.STATEMENT)
            if node.label == "step" and _steps(graph, node) and _unclipped(graph, node)
        )

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """The largest norm that passes unchanged."""
        return tuple((("max_norm", norm),) for norm in _MAX_NORMS)

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Clip the parameters of the model that the optimizer was built from, or whatever it holds."""
        optimizer = read_call(graph, next(calls_in(graph, site))).function.rpartition(".")[0]
        model = _model_of(graph, optimizer, site.scope)
        parameters = (
            f"{model}.parameters()" if model else f'[p for group in {optimizer}.param_groups for p in group["params"]]'
        )
        clip = f"torch.nn.utils.clip_grad_norm_({parameters}, {choice[0][1]})"
        return (EnsureImport(site, "torch", "torch"), InsertStmt(site, clip, before=True))


def _model_of(graph: CodeGraph, optimizer: str, scope: str) -> str:
    """Return the one model among the arguments that an optimizer was built from; empty when that is not plain to see."""
    built = [b.value for b in graph.bindings(optimizer, scope) if b.value and b.scope == scope]
    models = [
        name for name in module_instances(graph, scope) if len(built) == 1 and re.search(rf"\b{name}\b", built[0])
    ]
    return models[0] if len(models) == 1 else ""


def _steps(graph: CodeGraph, statement: Node) -> bool:
    callees = [slot for call in calls_in(graph, statement) for slot in graph.callees(call)]
    return any(slot.startswith("torch.optim.") and slot.endswith(".step") for slot in callees)


def _unclipped(graph: CodeGraph, step: Node) -> bool:
    labels = [
        call.label
        for statement in block_of(graph, step)
        if statement.start < step.start
        for call in calls_in(graph, statement)
    ]
    return "backward" in labels and not any(label.startswith("clip_grad") or label == "unscale_" for label in labels)
