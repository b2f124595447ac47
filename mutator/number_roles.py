"""What a number sets in a training run, told by its name and place, and which values make sense there.

A role gives the ends that any value must keep and a few values worth trying: neighbours of the old one on the ladder 1, 1.5, 2, 3, 4, 5,
6, 8, 10, or round figures of its trade. Zero has a role too: where it means "off", it may be turned on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between
from mutator.numbers import in_call, is_int, name_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable

_LADDER = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_LOSSES = ("cross_entropy", "CrossEntropyLoss", "nll_loss")


@dataclass(frozen=True, slots=True)
class Role:
    """What a number sets: its name, the ends of its values, those worth trying, and whether it is a whole number."""

    name: str
    pattern: re.Pattern[str]
    low: float
    high: float
    grid: Callable[[float], tuple[float, ...]]
    whole: bool | None = None  # None: as it is written


def rungs(old: float) -> tuple[float, ...]:
    """Return the two values of the ladder below a positive number and the two above."""
    decade = floor(log10(old))
    ladder = sorted(float(f"{step * 10.0**power:.6g}") for power in range(decade - 1, decade + 2) for step in _LADDER)
    below, above = [v for v in ladder if v < old * 0.999], [v for v in ladder if v > old * 1.001]
    return (*below[-2:], *above[:2])


def _figures(*values: float) -> Callable[[float], tuple[float, ...]]:
    return lambda _old: values


def _on(*values: float) -> Callable[[float], tuple[float, ...]]:
    """Return what zero may be turned on to; otherwise the neighbours, and zero."""
    return lambda old: (0.0, *rungs(old)) if old else values


def _neighbours(old: float) -> tuple[float, ...]:
    return rungs(old) if old else ()


def _decades(old: float) -> tuple[float, ...]:
    return tuple(float(f"{old * factor:.3g}") for factor in (0.01, 0.1, 10.0, 100.0))


def _steps(old: float) -> tuple[float, ...]:
    return (old - 1, old + 1, old + 2)


def _doubles(old: float) -> tuple[float, ...]:
    return (old // 2, old * 2, old * 4)


def _eighths(old: float) -> tuple[float, ...]:
    return tuple(float(round(old + step)) for step in (-16, -8, 8, 16, 32))


def _names(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


ROLES = (
    Role("smoothing", _names(r"label_smooth"), 0.0, 0.5, _figures(0.0, 0.02, 0.05, 0.1)),
    Role("floor", _names(r"(final|min|end)\w*(frac|ratio|factor|mult)|lr_floor|eta_min_(frac|ratio)"), 0.0, 1.0,
         _figures(0.0, 0.01, 0.05, 0.1, 0.2)),
    Role("warm-down", _names(r"(warm_?down|cool_?down|decay)\w*(frac|ratio|portion)"), 0.05, 1.0, _figures(0.2, 0.3, 0.5, 0.7, 0.8)),
    Role("warm-up", _names(r"warm_?up\w*(frac|ratio|portion|pct)"), 0.0, 0.9, _figures(0.0, 0.02, 0.05, 0.1, 0.2)),
    Role("warm-up steps", _names(r"(warm_?up\w*(steps|iters?)?|warmup)$"), 1, 1_000_000, _neighbours, whole=True),
    Role("beta1", _names(r"(^|_)(beta_?1|b1|momentum)$"), 0.0, 0.999, _figures(0.8, 0.85, 0.9, 0.95)),
    Role("beta2", _names(r"(^|_)(beta_?2|b2)$"), 0.5, 0.99999, _figures(0.9, 0.95, 0.98, 0.99, 0.999)),
    Role("weight decay", _names(r"weight_?decay|(^|_)wd$"), 0.0, 1.0, _on(0.001, 0.01, 0.1)),
    Role("dropout", _names(r"drop_?out|drop_?(path|rate|prob)|(^|_)p_?drop|^pdrop|_pdrop$"), 0.0, 0.9, _figures(0.0, 0.05, 0.1, 0.2)),
    Role("clip", _names(r"(^|_)clip$|grad\w*clip|clip\w*(norm|value)|max_(grad_)?norm$"), 0.01, 100.0,
         lambda old: rungs(old) if old else (0.5, 1.0, 2.0)),
    Role("epsilon", _names(r"(^|_)(eps|epsilon)$"), 1e-14, 0.1, _decades),
    Role("rope base", _names(r"(rope|rotary)\w*(base|theta)|(^|_)base$|^theta$"), 100, 100_000_000,
         _figures(1_000, 50_000, 200_000, 500_000, 1_000_000)),
    Role("soft cap", _names(r"soft_?cap|logit_?cap|capping"), 1.0, 1000.0, _figures(10, 15, 20, 30, 50)),
    Role("accumulation", _names(r"accum\w*(steps?|iters?)?$"), 1, 4096, _doubles, whole=True),
    Role("depth", _names(r"^(n|num)_?(hidden_)?(layers?|blocks?)$|(^|_)depth$|^n_?layers?$"), 1, 256, _steps, whole=True),
    Role("iterations", _names(r"^ns_steps$|newton_schulz"), 1, 20, _steps, whole=True),
    Role("aspect ratio", _names(r"aspect_?ratio"), 8, 512, _eighths, whole=True),
    Role("expansion", _names(r"(mlp|ffn?|ff|expansion|hidden)_?\w*(ratio|mult|multiplier|factor)$|^(ff_)?mult$"), 1, 16,
         _figures(2, 3, 6, 8)),
    Role("learning rate", _names(r"(^|_)lr$|^lr|learning_?rate|(^|_)max_lr|min_lr|base_lr"), 1e-8, 20.0, _neighbours, whole=False),
    Role("spread", _names(r"(^|_)(init_?)?std$|initializer_range|init_scale|init_std"), 1e-6, 10.0, _neighbours, whole=False),
    Role("decay", _names(r"ema|(^|_)decay(_rate)?$|^gamma$"), 0.0, 0.99999, _figures(0.9, 0.95, 0.99, 0.995, 0.999)),
)  # fmt: skip
_NOT_RATES = re.compile(r"iters|steps|decay_lr|lr_decay|lr_(min|max)_|scheduler|frac|ratio|scale$|mult")


def role_of_number(graph: CodeGraph, node: Node) -> Role | None:
    """Return what a number sets; None when its name does not tell."""
    if node.role not in ("value", "argument", "default", "entry", "element", "positional"):
        return None
    name, text = name_of(graph, node).lower(), graph.text(node)
    if not name:
        return None
    if node.role == "element":
        return _element_role(graph, node, name)
    if in_call(graph, node) in _LOSSES and "smooth" in name:
        return None  # the loss may be the metric too
    role = next((role for role in ROLES if role.pattern.search(name)), None)
    if role is None or (role.name == "learning rate" and _NOT_RATES.search(name)):
        return None
    if role.name == "rope base" and name in ("base", "theta") and not _rotary(graph, node):
        return None
    if role.name == "spread" and value_of(text) == 0:
        return None
    fits = (
        role.whole is None
        or role.whole is is_int(text)
        or (role.whole is False and is_int(text) and value_of(text) <= 1)
    )
    return role if fits and _in_range(role, value_of(text)) else None


def role_of_name(name: str) -> str:
    """Return the role that a name tells, whatever it holds; empty when it tells none."""
    role = next((role for role in ROLES if role.pattern.search(name)), None)
    return "" if role is None or (role.name == "learning rate" and _NOT_RATES.search(name)) else role.name


def values_for(role: Role, text: str) -> Between:
    """Return the values of a role: floats where the author wrote one, whole numbers where it is one."""
    old = value_of(text)
    whole = (
        is_int(text)
        and (role.whole is True or float(role.low).is_integer())
        and role.whole is not False
        and not (old == 0 and role.high <= 1)
    )
    inside = [value for value in role.grid(old) if role.low <= value <= role.high and value != old]
    if whole:
        return Between(
            round(role.low),
            round(role.high),
            tuple(dict.fromkeys(round(v) for v in inside if round(v) != old and round(v) >= role.low)),
        )
    return Between(float(role.low), float(role.high), tuple(dict.fromkeys(float(v) for v in inside)))


def _in_range(role: Role, value: float) -> bool:
    return value == 0 or role.low <= value <= role.high


def _element_role(graph: CodeGraph, node: Node, name: str) -> Role | None:
    """Read a pair of betas: the first is that of the momentum, the second that of the variance."""
    container = graph.syntax(node).parent
    if "betas" not in name or container is None or len(container.named_children) != 2:
        return None
    wanted = "beta1" if container.named_children[0].start_byte == node.start else "beta2"
    return next(role for role in ROLES if role.name == wanted)


def _rotary(graph: CodeGraph, node: Node) -> bool:
    """Whether a base belongs to rotary or sinusoidal positions."""
    around = [node, *graph.ancestors(node)]
    return any(
        re.search(r"rope|rotary|sinus|position|freqs", n.label.lower())
        for n in around
        if n.kind in (NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.CALL)
    )
