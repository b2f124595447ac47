"""set-betas: give one parameter group its own betas."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, SetArg
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.optimizers import OPTIMIZER

if TYPE_CHECKING:
    from collections.abc import Mapping

_BETA1 = Between(0.5, 0.999, (0.8, 0.9))
_BETA2 = Between(0.8, 0.9999, (0.95, 0.96, 0.99))
_PAIRED = re.compile(r"torch\.optim\.(\w+\.)?(Adam|AdamW|NAdam|RAdam|Adamax|SparseAdam)")
_THREE = re.compile(  # betas of three: Adan, AdEMAMix
    rb"betas['\"]?\]?(?:\s*:[^=\n]*)?\s*[=:]\s*\((?:[^(),]+,){2}\s*[^()\s]|betas(?:['\"]\])?\[2\]|(?:\w+,\s*){2}\w+\s*=[^=\n]*\bbetas\b"
)
_GPT = """\
import torch
class MuonAdamW(torch.optim.Optimizer):
    def __init__(self, groups):
        super().__init__(groups, {{}})
class GPT(torch.nn.Module):
    def setup_optimizer(self, head_params, wte_params, lr=0.004, adam_betas=(0.8, 0.95)):
        groups = [
            dict(kind="adamw", params=head_params, lr=lr, betas={head}, eps=1e-10, weight_decay=0.0),
            dict(kind="adamw", params=wte_params, lr=lr, betas=adam_betas, eps=1e-10, weight_decay=0.0),  # embedding
        ]
        return MuonAdamW(groups)
"""
_MINGPT = """\
import torch
class GPT(torch.nn.Module):
    def configure_optimizers(self, train_config, groups, **more):
        return torch.optim.{made}
"""
_BUILT = """\
import torch
def build(groups, cfg):
    return torch.optim.AdamW(
        groups,
        lr=cfg.lr,
        betas={betas},  # of both groups
        eps=cfg.eps,
    )
"""


class SetBetas(EditKind):
    """Give a parameter group, or an optimizer of the Adam family, its own pair of betas in the place of what it shares.

    Why: the head, the embedding and the scalars see gradients of their own noise; nanochat won by betas of its own for the head.
    Source: nanochat, "autoresearch round 1"; beta2 against batch size: arXiv:2507.07101.
    Any pair between the ends is accepted. Not offered: pairs of numbers, which scale-literal and set-literal turn; calls that state no
    betas; optimizers with three betas, or whose betas nobody can tell.
    """

    name = "set-betas"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _GPT.format(head="adam_betas")},
            "set-betas@a:GPT.setup_optimizer/call.dict?beta1=0.8&beta2=0.96",
            {"a.py": _GPT.format(head="(0.8, 0.96)")},
        ),
        Example(
            {"a.py": _MINGPT.format(made="AdamW(groups, lr=train_config.lr, betas=train_config.betas)")},
            "set-betas@a:GPT.configure_optimizers/call.AdamW?beta1=0.9&beta2=0.95",
            {"a.py": _MINGPT.format(made="AdamW(groups, lr=train_config.lr, betas=(0.9, 0.95))")},
        ),
        Example(
            {"a.py": _BUILT.format(betas="(cfg.beta1, cfg.beta2)")},
            "set-betas@a:build/call.AdamW?beta1=0.85&beta2=0.99",
            {"a.py": _BUILT.format(betas="(0.85, 0.99)")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _GPT.format(head="(0.8, 0.96)")},
            "set-betas@a:GPT.setup_optimizer/call.dict?beta1=0.9&beta2=0.95",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _MINGPT.format(made="AdamW(groups, lr=train_config.lr)")},
            "set-betas@a:GPT.configure_optimizers/call.AdamW?beta1=0.9&beta2=0.95",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _MINGPT.format(made="AdamW(groups, **more)")},
            "set-betas@a:GPT.configure_optimizers/call.AdamW?beta1=0.9&beta2=0.95",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": "import adan\ndef build(groups, betas):\n    return adan.Adan(groups, betas=betas)\n"},
            "set-betas@a:build/call.Adan?beta1=0.9&beta2=0.95",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _GPT.format(head="adam_betas") + "\nadan_betas = (0.98, 0.92, 0.99)\n"},
            "set-betas@a:GPT.setup_optimizer/call.dict?beta1=0.9&beta2=0.95",
            Reason.ARITY,
        ),
        Refusal(
            {"a.py": _GPT.format(head="adam_betas")},
            "set-betas@a:GPT.setup_optimizer/call.dict?beta1=0.8&beta2=1.0",
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Pairs as they are in use, at groups and optimizers that take theirs from elsewhere."""
        group = graph.callees(site) == ("builtins.dict",)
        if not group and not _makes_optimizer(graph, site):
            foreign = site.label[:1].isupper() and not any(graph.nodes[slot].path for slot in graph.callees(site))
            return Reason.UNKNOWN_VALUE if foreign and read_call(graph, site).keyword("betas") else Reason.NO_SITE
        read = read_call(graph, site)
        betas = read.keyword("betas")
        if betas is None:
            return Reason.UNKNOWN_VALUE if read.starred and not group else Reason.NO_SITE
        if group and read.keyword("params") is None:
            return Reason.NO_SITE
        if _is_stated(betas.value):
            return Reason.ALREADY
        if not _is_paired(graph, site) and any(_THREE.search(file.data) for file in graph.files.values()):
            return Reason.ARITY
        return choose(beta1=_BETA1, beta2=_BETA2)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the pair out."""
        return (SetArg(site, "betas", f"({float(choice['beta1'])!r}, {float(choice['beta2'])!r})"),)


def _makes_optimizer(graph: CodeGraph, call: Node) -> bool:
    """Whether a call makes an optimizer of the Adam family, or one that the sources define."""
    made = [slot for slot in graph.callees(call) if graph.nodes[slot].kind is NodeKind.CLASS and graph.nodes[slot].path]
    return _is_paired(graph, call) or any(OPTIMIZER in graph.external_bases(slot) for slot in made)


def _is_paired(graph: CodeGraph, call: Node) -> bool:
    callees = graph.callees(call)
    return bool(callees) and all(_PAIRED.fullmatch(slot) for slot in callees)


def _is_stated(text: str) -> bool:
    """Whether betas are written out as numbers."""
    try:
        ast.literal_eval(text)
    except ValueError:
        return False
    return True


KIND = SetBetas()
