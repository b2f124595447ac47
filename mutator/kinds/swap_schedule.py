"""swap-schedule: let a learning rate or a weight decay fall along another curve."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import runs_only, spell
from mutator.decay import SHAPES, Decay, blended, curve, find_decay
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.facts import calls_in
from mutator.intents import EnsureImport, Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEDULERS = "torch.optim.lr_scheduler"
_NAMED = re.compile(r"(^|_)(lr|lrm|lrs|warm\w*|anneal\w*|cool\w*|decay\w*|learning|multiplier)(_|$)", re.IGNORECASE)
_TOTAL = {"CosineAnnealingLR": "T_max", "LinearLR": "total_iters", "PolynomialLR": "total_iters"}
_MADE = {
    "cosine": "CosineAnnealingLR({opt}, T_max={total})",
    "linear": "LinearLR({opt}, start_factor=1.0, end_factor=0.0, total_iters={total})",
    "square": "PolynomialLR({opt}, total_iters={total}, power=2.0)",
    "sqrt": "PolynomialLR({opt}, total_iters={total}, power=0.5)",
}
_GPT = """\
import math
def get_lr(it):
    if it < warmup_iters:
        return learning_rate * it / warmup_iters
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coeff = {coeff} # coeff ranges 0..1
    return min_lr + coeff * (learning_rate - min_lr)
"""
_MULTIPLIER = """\
def get_lr_multiplier(progress):
    if progress < 1.0 - WARMDOWN_RATIO:
        return 1.0
    cooldown = {cooldown}
    return cooldown * 1.0 + (1 - cooldown) * FINAL_LR_FRAC
"""
_SFT = """\
import math
def get_lr_multiplier(progress):
    decay = {decay}
    return (1 - decay) * 1.0 + decay * final
"""
_TORCH = """\
from torch.optim.lr_scheduler import CosineAnnealingLR
import torch
def fit(opt, steps):
    return {made}
"""


class SwapSchedule(EditKind):
    """Swap the curve that a learning rate or weight decay falls along; its ends, the warm-up and the floor stay as they are.

    Curves: half a cosine, linear, 1 - sqrt, squared, late (constant, then linear over the last fifth: warm-up, stable, decay), 1 / sqrt
    down to a quarter, and none. In functions that give a rate or its multiplier, and for schedulers of torch that say how long they run.
    Why: the shape of the cool-down is worth as much as many an architecture change. Source: Haegele et al. 2024 (arXiv:2405.18392) for
    1 - sqrt and late decay; Loshchilov and Hutter 2017 (arXiv:1608.03983) for the cosine.
    Not offered for a decay whose ends are not plain to see, such as StepLR.
    """

    name = "swap-schedule"
    family = Family.CALL
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _GPT.format(coeff="0.5 * (1.0 + math.cos(math.pi * decay_ratio))")},
            "swap-schedule@a:get_lr/stmt.coeff?to=sqrt",
            {"a.py": _GPT.format(coeff="1.0 - max(0.0, decay_ratio) ** 0.5")},
        ),
        Example(
            {"a.py": _MULTIPLIER.format(cooldown="(1.0 - progress) / WARMDOWN_RATIO")},
            "swap-schedule@a:get_lr_multiplier/stmt.cooldown?to=cosine",
            {
                "a.py": "import math\n"
                + _MULTIPLIER.format(cooldown="0.5 * (1.0 - math.cos(math.pi * ((1.0 - progress) / WARMDOWN_RATIO)))")
            },
        ),
        Example(
            {"a.py": _SFT.format(decay="(progress - start) / (1 - start)")},
            "swap-schedule@a:get_lr_multiplier/stmt.decay?to=square",
            {"a.py": _SFT.format(decay="1.0 - (1.0 - (progress - start) / (1 - start)) ** 2")},
        ),
        Example(
            {"a.py": "def get_lr_multiplier(it):\n    lrm = 1.0 - it / num_steps\n    return lrm\n"},
            "swap-schedule@a:get_lr_multiplier/stmt.lrm?to=late",
            {"a.py": "def get_lr_multiplier(it):\n    lrm = min(1.0, 5.0 * (1.0 - it / num_steps))\n    return lrm\n"},
        ),
        Example(
            {"a.py": _TORCH.format(made="CosineAnnealingLR(opt, T_max=steps, eta_min=0)")},
            "swap-schedule@a:fit/stmt.return?to=linear",
            {
                "a.py": _TORCH.format(
                    made="torch.optim.lr_scheduler.LinearLR(opt, start_factor=1.0, end_factor=0.0, total_iters=steps)"
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "def gain(t):\n    return 1.0 - t\n"}, "swap-schedule@a:gain/stmt.return?to=cosine", Reason.NO_SITE
        ),
        Refusal(
            {"a.py": _TORCH.format(made="CosineAnnealingLR(opt, T_max=steps, eta_min=1e-5)")},
            "swap-schedule@a:fit/stmt.return?to=linear",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _GPT.format(coeff="0.5 * (1.0 + math.cos(math.pi * decay_ratio))")},
            "swap-schedule@a:get_lr/stmt.coeff?to=cosine",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": "def lr_scale(t):\n    math = 3\n    return 1.0 - t\n"},
            "swap-schedule@a:lr_scale/stmt.return?to=cosine",
            Reason.NAME_CLASH,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other curves, for the statement of a schedule that computes what remains, or makes a scheduler of a known length."""
        text = graph.text(site)
        if "LR(" in text and "LambdaLR(" not in text:
            return _scheduler_domain(graph, site)
        found = _decay(graph, site)
        return choose(to=[shape for shape in SHAPES if shape != found.shape]) if found is not None else Reason.NO_SITE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put the other curve in the place of the one that is there."""
        to = str(choice["to"])
        found = _decay(graph, site)
        if found is None:
            return _scheduled(graph, site, to)
        imports: tuple[EnsureImport, ...] = ()
        cos, pi = "cos", "pi"
        if to == "cosine":
            cos, imports = spell(graph, site, "math.cos")
            pi = f"{cos.rpartition('.')[0]}.pi"
        return (
            *imports,
            ReplaceExpr(Span(site.path, site.start + found.start, site.start + found.end), curve(found, to, cos, pi)),
        )


def _decay(graph: CodeGraph, site: Node) -> Decay | None:
    """Return the decay that a statement computes, in a function or a line whose names say that it is about a schedule."""
    text, function = graph.text(site), graph.nodes[site.scope]
    if (
        "LR(" in text
        or not ("cos" in text or "1" in text or "/" in text)
        or site.label in ("if", "while", "for", "with")
    ):
        return None
    named = (
        _NAMED.search(function.label)
        if function.kind is NodeKind.FUNCTION
        else _NAMED.search(text.partition("=")[0].strip())
    )
    if not named and "LambdaLR(" not in text:
        return None
    return find_decay(text, _blends(graph, function) if function.kind is NodeKind.FUNCTION else {})


def _blends(graph: CodeGraph, function: Node) -> dict[str, bool]:
    returns = (n for n in graph.files[function.path].nodes if n.scope == function.slot and n.label == "return")
    return dict(found for n in returns if (found := blended(graph.text(n))) is not None)


def _scheduler(graph: CodeGraph, site: Node) -> Node | None:
    return next((c for c in calls_in(graph, site) if runs_only(graph, c).startswith(f"{_SCHEDULERS}.")), None)


def _scheduler_domain(graph: CodeGraph, site: Node) -> Domain | Reason:
    call = _scheduler(graph, site)
    if call is None or call.label not in _TOTAL:
        return Reason.NO_SITE
    read = read_call(graph, call)
    end = read.keyword("eta_min") or read.keyword("end_factor")
    ended = (end is None and call.label != "LinearLR") or (end is not None and re.fullmatch(r"0(\.0*)?", end.value))
    whole = read.keyword("start_factor")
    if (
        not ended
        or not _of(graph, call)
        or (call.label == "LinearLR" and (whole is None or whole.value not in ("1", "1.0")))
    ):
        return Reason.UNKNOWN_VALUE
    now = {"CosineAnnealingLR": "cosine", "LinearLR": "linear"}.get(call.label, "")
    return choose(to=[shape for shape in _MADE if shape != now])


def _of(graph: CodeGraph, call: Node) -> tuple[str, str] | None:
    """Return the optimizer and the number of steps that a scheduler is made of; None when more is given by position."""
    read = read_call(graph, call)
    given = [a.value for a in read.arguments if a.name in ("", "optimizer")]
    total = read.keyword(_TOTAL[call.label])
    if call.label == "CosineAnnealingLR" and len(given) == 2:
        return given[0], given[1]
    return (given[0], total.value) if len(given) == 1 and total is not None and not read.starred else None


def _scheduled(graph: CodeGraph, site: Node, to: str) -> tuple[Intent, ...]:
    call = _scheduler(graph, site)
    made = _of(graph, call) if call is not None else None
    if call is None or made is None:
        return ()
    name, _, arguments = _MADE[to].partition("(")
    text, imports = spell(graph, call, f"{_SCHEDULERS}.{name}")
    return (*imports, ReplaceExpr(call, fill(f"{{function}}({arguments}", function=text, opt=made[0], total=made[1])))


KIND = SwapSchedule()
