"""schedule-weight-decay: let the weight decay follow the learning rate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.steps import calls_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_POWERS = Between(0.25, 4.0, (0.5, 1.0, 2.0))
_WRITER = re.compile(r"(\w+)\[([\"'])lr\2\] = (.+)", re.DOTALL)
_LOOP = re.compile(r"for (\w+) in ([\w.]+)\.param_groups:?")
_WRITTEN = re.compile(rb"""\[["']weight_decay["']\]\s*[-+*/]?=[^=]""")
_SAME = """\
import torch
optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.1)
while True:
    lr = get_lr(iter_num)
    for param_group in optimizer.param_groups:
        param_group["lr"] = lr{decay}
    loss(batch()).backward()
    optimizer.step()
"""
_SCALED = """\
import torch
def train(model, cfg, steps):
    opt = torch.optim.AdamW(model.parameters(), lr=cfg.lr)
    for group in opt.param_groups:
        group["initial_lr"] = group["lr"]
    for step in range(steps):
        for group in opt.param_groups:
            group["lr"] = group["initial_lr"] * lr_scale(step, cfg){decay}
        model(step).backward()
        opt.step()
"""
_DECAY = '{group}["weight_decay"] = {group}.setdefault("initial_weight_decay", {group}["weight_decay"]) * {factor}'


class ScheduleWeightDecay(EditKind):
    """Scale the weight decay of each group with its learning rate, or with a power of it, in the loop that sets the learning rate.

    Why: in AdamW the shrinkage is the learning rate times the decay, and how the two should fall together is open: linear and cosine
    decays to zero pay in karpathy/nanochat and autoresearch. Source: Defazio 2025 (arXiv:2506.02285). The decay that a group starts with
    is kept under `initial_weight_decay`. Not offered where the weight decay is set already, nor for optimizers that may have none.
    """

    name = "schedule-weight-decay"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _SAME.format(decay="  # every step")},
            "schedule-weight-decay@a:/stmt.unpack?power=1.0",
            {
                "a.py": _SAME.format(
                    decay="  # every step\n        "
                    + _DECAY.format(group="param_group", factor='(param_group["lr"] / optimizer.defaults["lr"])')
                )
            },
        ),
        Example(
            {"a.py": _SCALED.format(decay="")},
            "schedule-weight-decay@a:train/stmt.unpack.1?power=0.5",
            {
                "a.py": _SCALED.format(
                    decay="\n            "
                    + _DECAY.format(group="group", factor='(group["lr"] / group["initial_lr"]) ** 0.5')
                )
            },
        ),
        Example(
            {"a.py": _SCALED.format(decay="")},
            "schedule-weight-decay@a:train/stmt.unpack.1?power=3.0",
            {
                "a.py": _SCALED.format(
                    decay="\n            "
                    + _DECAY.format(group="group", factor='(group["lr"] / group["initial_lr"]) ** 3.0')
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _SAME.format(decay='\n        param_group["weight_decay"] = 0.1 * lr')},
            "schedule-weight-decay@a:/stmt.unpack?power=1.0",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _SAME.format(decay="").replace("= lr", '= param_group["scale"] * lr')},
            "schedule-weight-decay@a:/stmt.unpack?power=1.0",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _SAME.format(decay="").replace("torch.optim.AdamW(", "make(")},
            "schedule-weight-decay@a:/stmt.unpack?power=1.0",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _SCALED.format(decay="")}, "schedule-weight-decay@a:train/stmt.unpack?power=1.0", Reason.NO_SITE
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """By which power of the learning rate, where a loop over the groups of an optimizer of torch sets it."""
        written = _written(graph, site)
        if written is None:
            return Reason.NO_SITE
        if _WRITTEN.search(graph.files[site.path].data):
            return Reason.ALREADY
        receivers = [f"{written[1]}.step", f"{written[1]}.zero_grad"]
        calls = (c for c in calls_of(graph, site.scope, site.path) if c.label in ("step", "zero_grad"))
        callees = {callee for c in calls if read_call(graph, c).function in receivers for callee in graph.callees(c)}
        torch = bool(callees) and all(callee.startswith("torch.optim.") for callee in callees)
        return choose(power=_POWERS) if torch and _factor(*written) else Reason.UNKNOWN_VALUE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Set the weight decay right behind the learning rate."""
        written = _written(graph, site)
        if written is None:  # the domain said that it is one
            return ()
        factor, power = _factor(*written), choice["power"]
        text = _DECAY.format(group=written[0], factor=factor if power == 1.0 else f"{factor} ** {power}")
        return (InsertStmt(site, text),)


def _written(graph: CodeGraph, site: Node) -> tuple[str, str, str] | None:
    """Return (group, optimizer, new learning rate) of `group["lr"] = ...` directly in a loop over the groups, inside another loop."""
    if site.label != "unpack":
        return None
    found, loop = _WRITER.fullmatch(graph.text(site)), graph.parent(site)
    header = _LOOP.match(graph.text(loop)) if found and loop is not None else None
    if found is None or header is None or header[1] != found[1]:
        return None
    return found[1], header[2], found[3]


def _factor(group: str, optimizer: str, value: str) -> str:
    """Return the learning rate as a share of the one that the group started with; empty when that is not plain to see."""
    if re.search(rf"""\b{group}\[["']initial_lr["']\]""", value):
        return f'({group}["lr"] / {group}["initial_lr"])'
    return "" if re.search(rf"\b{group}\b", value) else f'({group}["lr"] / {optimizer}.defaults["lr"])'


KIND = ScheduleWeightDecay()
