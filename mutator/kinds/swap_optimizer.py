"""swap-optimizer: construct another optimizer of torch.optim, with its arguments translated."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from graph.arguments import Argument, Call, read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import runs_only, spell
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.intents import DropArgs, Intent, RenameCallee, ReplaceExpr, SetArg, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.optimizers import group_keys, makes_optimizer, needs_momentum, sets_lr, splat_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COMMON = frozenset({"params", "lr", "weight_decay", "foreach", "maximize", "differentiable"})
# What each optimizer takes besides the common arguments (torch 2.13). LBFGS, SparseAdam and Muon need other training loops or tensors.
_TAKES = {
    "AdamW": frozenset({"betas", "eps", "amsgrad", "capturable", "fused"}),
    "Adam": frozenset({"betas", "eps", "amsgrad", "capturable", "fused", "decoupled_weight_decay"}),
    "NAdam": frozenset({"betas", "eps", "momentum_decay", "capturable", "decoupled_weight_decay"}),
    "RAdam": frozenset({"betas", "eps", "capturable", "decoupled_weight_decay"}),
    "Adamax": frozenset({"betas", "eps", "capturable"}),
    "SGD": frozenset({"momentum", "dampening", "nesterov", "fused"}),
    "RMSprop": frozenset({"alpha", "eps", "momentum", "centered", "capturable"}),
    "Adagrad": frozenset({"eps", "lr_decay", "initial_accumulator_value", "fused"}),
    "Adadelta": frozenset({"rho", "eps", "capturable"}),
    "Adafactor": frozenset({"beta2_decay", "d"}),
}
_TYPED = {"Adafactor": frozenset({"eps", "differentiable"})}  # a pair there, a number everywhere else; not taken at all
_DECOUPLE = frozenset({"NAdam", "RAdam"})  # keep AdamW's weight decay when asked; Adam would then be AdamW again
_LR_SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)  # the families want learning rates an order of magnitude apart
_GPT = """\
import torch
class GPT(torch.nn.Module):
    def configure_optimizers(self, weight_decay, lr, betas, use_fused):
        groups = [{{'params': list(self.parameters()), 'weight_decay': weight_decay}}]
        extra_args = dict(fused=True) if use_fused else dict()
        return torch.optim.{call}
"""
_OURS = """\
import torch
class MuonAdamW(torch.optim.Optimizer):
    def __init__(self, groups):
        super().__init__(groups, defaults={{}})
def build(m):
    groups = [dict(kind='muon', params=m.matrices, lr=0.02, momentum=0.95), dict(kind='adamw', params=m.rest, lr=0.004, eps=1e-10)]
    opt = {call}(groups)
    return opt
"""


class SwapOptimizer(EditKind):
    """Swap the optimizer: rename the constructor, translate its arguments, keep parameter groups and schedule as they are.

    Arguments that the new optimizer does not take are dropped; betas become momentum (SGD) or alpha (RMSprop) and back; AdamW's decoupled
    weight decay stays decoupled in NAdam and RAdam, which else lose 1 bit per byte on bytelm. `lr_scale` multiplies the learning rate that
    is passed, unless the loop sets it anew. Renaming alone runs for 4 of 14 optimizers on nanoGPT, with translation 11 of 14 run.
    `**extra` is resolved by what its name is bound to; an optimizer of ours gives way to one of torch where it takes parameter groups
    alone, which keep their own learning rates and further keys.
    Source: the signatures of torch.optim; Adafactor, Shazeer and Stern 2018 (arXiv:1804.04235). Not offered: optimizers that later code
    would ask for a `betas` or `momentum` that they do not have, and torch.optim.Muon, which takes matrices alone.
    """

    name = "swap-optimizer"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, lr=cfg.lr, betas=(cfg.b1, 0.95), eps=1e-8)\n"},
            "swap-optimizer@a:/call.AdamW?lr_scale=10.0&to=SGD",
            {"a.py": "import torch\nopt = torch.optim.SGD(ps, lr=10.0 * cfg.lr, momentum=cfg.b1)\n"},
        ),
        Example(
            {"a.py": "from torch.optim import SGD\nopt = SGD(ps, a + b, momentum=0.9, nesterov=True)\n"},
            "swap-optimizer@a:/call.SGD?lr_scale=0.1&to=AdamW",
            {
                "a.py": "from torch.optim import SGD\nimport torch\n"
                "opt = torch.optim.AdamW(ps, 0.1 * (a + b), betas=(0.9, 0.999))\n"
            },
        ),
        Example(
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, lr=1e-3)\n"},
            "swap-optimizer@a:/call.AdamW?lr_scale=1.0&to=NAdam",
            {"a.py": "import torch\nopt = torch.optim.NAdam(ps, lr=1e-3, decoupled_weight_decay=True)\n"},
        ),
        Example(
            {"a.py": _GPT.format(call="AdamW(groups, lr=lr, betas=betas, **extra_args)")},
            "swap-optimizer@a:GPT.configure_optimizers/call.AdamW?lr_scale=1.0&to=RMSprop",
            {"a.py": _GPT.format(call="RMSprop(groups, lr=lr, alpha=betas[1])")},
        ),
        Example(
            {"a.py": _GPT.format(call="AdamW(groups, lr=lr, betas=betas, **extra_args)")},
            "swap-optimizer@a:GPT.configure_optimizers/call.AdamW?lr_scale=3.0&to=SGD",
            {"a.py": _GPT.format(call="SGD(groups, lr=3.0 * lr, momentum=betas[0], **extra_args)")},
        ),
        Example(
            {"a.py": _OURS.format(call="MuonAdamW")},
            "swap-optimizer@a:build/call.MuonAdamW?lr_scale=1.0&to=RMSprop",
            {"a.py": _OURS.format(call="torch.optim.RMSprop")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "import torch\ndef make(ps, **kw):\n    return torch.optim.AdamW(ps, **kw)\n"},
            "swap-optimizer@a:make/call.AdamW?lr_scale=1.0&to=SGD",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": "opt = AdamW(ps, lr=1)\n"}, "swap-optimizer@a:/call.AdamW?lr_scale=1.0&to=SGD", Reason.NO_SITE
        ),
        Refusal(
            {
                "a.py": "import torch\no = torch.optim.SGD(ps, lr=1)\nfor g in o.param_groups:\n    g['momentum'] = 0.5\n"
            },
            "swap-optimizer@a:/call.SGD?lr_scale=1.0&to=AdamW",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": _OURS.format(call="MuonAdamW")},
            "swap-optimizer@a:build/call.MuonAdamW?lr_scale=1.0&to=Adafactor",
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The optimizers that everything around the old one can live with, with the learning rate scaled where one is passed."""
        old = _made(graph, site)
        if not old:
            return Reason.NO_SITE
        given = _given(graph, site)
        if given is None:
            return Reason.UNKNOWN_VALUE
        asked, grouped = group_keys(graph, site)
        cycled = needs_momentum(graph)
        names = [
            name
            for name, own in _TAKES.items()
            if name != old
            and asked <= _COMMON | own
            and not grouped & _TYPED.get(name, frozenset())
            and (not cycled or own & {"betas", "momentum"})
            and _splat_fits(given, own)
        ]
        return choose(lr_scale=_LR_SCALES if _lr(read_call(graph, site)) and not sets_lr(graph) else (1.0,), to=names)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Rename the callee, drop what is not taken, add what is translated."""
        scale, name = float(choice["lr_scale"]), str(choice["to"])
        call, takes = read_call(graph, site), (_COMMON | _TAKES[name]) - _TYPED.get(name, frozenset())
        given = _given(graph, site) or frozenset()
        kept = takes | ({"*"} if given <= takes else set())
        said = {a.name: text for a, text in _translated(call, name)}
        dropped = tuple(a.name for a in call.arguments if a.name and a.name not in (*kept, *said))
        text, imports = spell(graph, site, f"torch.optim.{name}")
        added: list[Intent] = [ReplaceExpr(Span(site.path, a.start, a.end), new) for a, new in _translated(call, name)]
        if _made(graph, site) == "AdamW" and name in _DECOUPLE:
            added.append(SetArg(site, "decoupled_weight_decay", "True"))
        scaled = _scaled(site, call, scale) if scale != 1.0 else []
        return (*imports, RenameCallee(site, text), *scaled, *([DropArgs(site, dropped)] if dropped else []), *added)


def _made(graph: CodeGraph, call: Node) -> str:
    """Return the optimizer that a call makes: of torch by name, one of ours by its own; empty when it makes none."""
    if not re.match(r"_*[A-Z]|cls$|call$|\w*opt", call.label):
        return ""
    path = runs_only(graph, call)
    name = path.removeprefix("torch.optim.").rpartition(".")[2] if path.startswith("torch.optim.") else ""
    return name if name in _TAKES else makes_optimizer(graph, call)


def _given(graph: CodeGraph, call: Node) -> frozenset[str] | None:
    """Return the names that `**` brings; None when a star cannot be followed or too much is given by position."""
    read = read_call(graph, call)
    if sum(not a.name for a in read.arguments) > 2 or read.keyword("params"):
        return None
    found = [splat_keys(graph, call, a) for a in read.arguments if a.name == "*"]
    return frozenset().union(*(keys for keys in found if keys is not None)) if None not in found else None


def _splat_fits(given: frozenset[str], own: frozenset[str]) -> bool:
    """Whether `**` may stay or go as a whole."""
    return given <= own | _COMMON or not given & (own | _COMMON)


def _lr(call: Call) -> str:
    positional = [a for a in call.arguments if not a.name]
    lr = call.keyword("lr") or (positional[1] if len(positional) == 2 else None)
    return lr.value if lr is not None else ""


def _scaled(site: Node, call: Call, scale: float) -> list[Intent]:
    lr = _lr(call)
    number = re.fullmatch(r"[0-9.]+(e-?[0-9]+)?", lr)
    text = f"{float(lr) * scale:.3g}" if number else fill(f"{scale} * {{lr}}", lr=lr)
    if call.keyword("lr") is not None:
        return [SetArg(site, "lr", text)]
    given = [a for a in call.arguments if not a.name][1]
    return [ReplaceExpr(Span(site.path, given.start, given.end), text)]


def _translated(call: Call, to: str) -> Iterator[tuple[Argument, str]]:
    """Say each momentum-like argument in the words of the new optimizer."""
    betas, momentum, alpha = call.keyword("betas"), call.keyword("momentum"), call.keyword("alpha")
    if betas is not None and to == "SGD":
        yield betas, f"momentum={_pair(betas.value)[0]}"
    elif betas is not None and to == "RMSprop":
        yield betas, f"alpha={_pair(betas.value)[1]}"
    elif betas is None and "betas" in _TAKES[to] and (momentum or alpha):
        first, second = momentum.value if momentum else "0.9", alpha.value if alpha else "0.999"
        yield momentum or alpha, f"betas=({first}, {second})"  # type: ignore[misc]  # one of them is there


def _pair(betas: str) -> tuple[str, str]:
    """Return the text of both betas: of the two elements of a tuple, else by indexing the expression."""
    tree = ast.parse(betas, mode="eval").body
    if (
        isinstance(tree, ast.Tuple | ast.List)
        and len(tree.elts) == 2
        and not any(isinstance(e, ast.Starred) for e in tree.elts)
    ):
        first, second = (ast.get_source_segment(betas, element) or "" for element in tree.elts)
        return first, second
    whole = fill("{betas}[0]", betas=betas)
    return whole, f"{whole[:-3]}[1]"


KIND = SwapOptimizer()
