"""swap-optimizer: construct another optimizer of torch.optim, with its arguments translated."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.arguments import Call, read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.expected import fill
from mutator.facts import calls_only
from mutator.intents import DropArgs, Intent, RenameCallee, SetArg
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

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
}
_DECOUPLE = frozenset({"NAdam", "RAdam"})  # keep AdamW's weight decay when asked; Adam would then be AdamW again
_LR_SCALES = (0.1, 1.0, 10.0)  # the families want learning rates an order of magnitude apart


class SwapOptimizer:
    """Swap the optimizer: rename the constructor, translate its arguments, keep parameter groups and schedule as they are.

    Arguments that the new optimizer does not take are dropped; betas become momentum (SGD) or alpha (RMSprop) and back; AdamW's decoupled
    weight decay stays decoupled in NAdam and RAdam, which else lose 1 bit per byte on bytelm. `lr_scale` multiplies the learning rate that
    is passed. Renaming alone runs for 4 of 14 optimizers on nanoGPT, with translation 11 of 14 run.
    Source: the signatures of torch.optim. Refused: arguments out of `**`, which nobody can translate.
    """

    name = "swap-optimizer"
    examples = (
        Example(
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, lr=cfg.lr, betas=(cfg.b1, 0.95), eps=1e-8)\n"},
            "swap-optimizer@a:/call.AdamW?lr_scale=10.0&to=SGD",
            {"a.py": "import torch\nopt = torch.optim.SGD(ps, lr=10.0 * cfg.lr, momentum=cfg.b1)\n"},
        ),
        Example(
            {"a.py": "from torch import optim\nopt = optim.SGD(ps, lr=a + b, momentum=0.9, nesterov=True)\n"},
            "swap-optimizer@a:/call.SGD?lr_scale=0.1&to=AdamW",
            {"a.py": "from torch import optim\nopt = optim.AdamW(ps, lr=0.1 * (a + b), betas=(0.9, 0.999))\n"},
        ),
        Example(
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, lr=1e-3)\n"},
            "swap-optimizer@a:/call.AdamW?lr_scale=1.0&to=NAdam",
            {"a.py": "import torch\nopt = torch.optim.NAdam(ps, lr=1e-3, decoupled_weight_decay=True)\n"},
        ),
        Example(
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, lr=1e-3, betas=betas)\n"},
            "swap-optimizer@a:/call.AdamW?lr_scale=1.0&to=RMSprop",
            {"a.py": "import torch\nopt = torch.optim.RMSprop(ps, lr=1e-3, alpha=betas[1])\n"},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, **kw)\n"},
            "swap-optimizer@a:/call.AdamW?lr_scale=1.0&to=SGD",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": "opt = AdamW(ps, lr=1)\n"}, "swap-optimizer@a:/call.AdamW?lr_scale=1.0&to=SGD", Reason.NO_SITE
        ),
        Refusal(
            {"a.py": "import torch\no = torch.optim.SGD(ps, lr=1)\n"},
            "swap-optimizer@a:/call.SGD?lr_scale=1.0&to=LBFGS",
            Reason.NO_CHOICE,
        ),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every constructor of a known optimizer through its module, with all options by name."""
        return (
            node
            for node in graph.of_kind(NodeKind.CALL)
            if calls_only(graph, node, "torch.optim.") in _TAKES and _translatable(graph, node)
        )

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """The other optimizers, with the learning rate scaled where one is passed."""
        old, scales = (
            calls_only(graph, site, "torch.optim."),
            _LR_SCALES if read_call(graph, site).keyword("lr") else (1.0,),
        )
        return tuple((("lr_scale", scale), ("to", name)) for name in _TAKES if name != old for scale in scales)

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Rename the callee, drop what is not taken, add what is translated."""
        (_, scale), (_, name) = choice
        call, takes = read_call(graph, site), _COMMON | _TAKES[str(name)]
        dropped = [DropArgs(site, tuple(a.name for a in call.arguments if a.name and a.name not in takes))]
        added = [SetArg(site, to, text) for to, text in _translated(call, str(name))]
        lr = call.keyword("lr")
        scaled = [SetArg(site, "lr", fill(f"{scale} * {{lr}}", lr=lr.value))] if lr is not None and scale != 1.0 else []
        return (RenameCallee(site, f"{call.function.rpartition('.')[0]}.{name}"), *scaled, *dropped, *added)


def _translatable(graph: CodeGraph, node: Node) -> bool:
    call = read_call(graph, node)
    return "." in call.function and not call.starred and sum(not a.name for a in call.arguments) <= 1


def _translated(call: Call, to: str) -> Iterator[tuple[str, str]]:
    """Say the momentum-like arguments in the words of the new optimizer."""
    betas, momentum, alpha = call.keyword("betas"), call.keyword("momentum"), call.keyword("alpha")
    if betas is not None and to == "SGD":
        yield "momentum", _pair(betas.value)[0]
    elif betas is not None and to == "RMSprop":
        yield "alpha", _pair(betas.value)[1]
    elif betas is None and "betas" in _TAKES[to] and (momentum or alpha):
        yield "betas", f"({momentum.value if momentum else 0.9}, {alpha.value if alpha else 0.999})"
    if call.function.endswith("AdamW") and to in _DECOUPLE:
        yield "decoupled_weight_decay", "True"


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
