"""split-weight-decay: let weight decay pull on matrices only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.arguments import Argument

_DECAYING = frozenset(
    {"AdamW", "Adam", "NAdam", "RAdam", "Adamax", "SGD", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Adafactor"}
)
_ALWAYS = frozenset({"AdamW"})  # decays without being asked, by 0.01
_PLAIN = re.compile(r"[A-Za-z_][\w.]*\.parameters\(\)")
_WRITTEN = re.compile(rb"""\[["']weight_decay["']\]\s*[-+*/]?=[^=]""")
_NET = """\
import torch
from torch import nn
class Net(nn.Module): ...
class Trainer:
    def __init__(self, cfg):
        self.model = Net()
        self.opt = torch.optim.AdamW({parameters}, lr=cfg.lr)
"""
_SGD = "from torch.optim import SGD\ndef make(net):\n    return SGD(params={parameters}, lr=0.1{decay})\n"
_GROUPS = (
    '[{{"params": [p for p in {model}.parameters() if p.ndim >= 2]}}, '
    '{{"params": [p for p in {model}.parameters() if p.ndim < 2], "weight_decay": 0.0}}]'
)


class SplitWeightDecay(EditKind):
    """Give an optimizer two groups: matrices, which decay as before, and biases, gains and other vectors, which do not.

    Why: decay pulls the gains of norms towards zero, where it should only bound the size of matrices. Source: GPT-2's and nanoGPT's
    parameter groups; Loshchilov and Hutter 2019 (arXiv:1711.05101). Not offered where nothing decays, where the parameters are in groups
    or filtered already, or where a loop sets the weight decay of all groups.
    """

    name = "split-weight-decay"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _NET.format(parameters="self.model.parameters()")},
            "split-weight-decay@a:Trainer.__init__/call.AdamW",
            {"a.py": _NET.format(parameters=_GROUPS.format(model="self.model"))},
        ),
        Example(
            {"a.py": _SGD.format(parameters="net.parameters()", decay=", weight_decay=0.1")},
            "split-weight-decay@a:make/call.SGD",
            {"a.py": _SGD.format(parameters=_GROUPS.format(model="net"), decay=", weight_decay=0.1")},
        ),
        Example(
            {"a.py": "import torch\nopt = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=wd)  # decays\n"},
            "split-weight-decay@a:/call.Adam",
            {
                "a.py": f"import torch\nopt = torch.optim.Adam({_GROUPS.format(model='net')}, 1e-3, weight_decay=wd)  # decays\n"
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _SGD.format(parameters="net.parameters()", decay="")},
            "split-weight-decay@a:make/call.SGD",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"a.py": _SGD.format(parameters="groups", decay=", weight_decay=0.1")},
            "split-weight-decay@a:make/call.SGD",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _NET.format(parameters=_GROUPS.format(model="self.model"))},
            "split-weight-decay@a:Trainer.__init__/call.AdamW",
            Reason.ALREADY,
        ),
        Refusal({"a.py": "opt = AdamW(net.parameters())\n"}, "split-weight-decay@a:/call.AdamW", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Nothing to choose, where a decaying optimizer of torch is given all parameters of a model."""
        callees = graph.callees(site)
        name = callees[0].removeprefix("torch.optim.") if len(callees) == 1 else ""
        if name not in _DECAYING:
            return Reason.NO_SITE
        given, call = _parameters(graph, site), read_call(graph, site)
        if given is not None and "ndim" in given.value:
            return Reason.ALREADY
        if given is None or call.starred or not _PLAIN.fullmatch(given.value):
            return Reason.UNKNOWN_VALUE
        decay = call.keyword("weight_decay")
        none = decay is None and name not in _ALWAYS
        if none or (decay is not None and decay.value in ("0", "0.0")) or _WRITTEN.search(graph.files[site.path].data):
            return Reason.NO_EFFECT
        return NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put the groups in the place of the parameters."""
        given = _parameters(graph, site)
        if given is None:  # the domain said that it is there
            return ()
        groups = _GROUPS.format(model=given.value.removesuffix(".parameters()"))
        return (ReplaceExpr(Span(site.path, given.value_start, given.end), groups),)


def _parameters(graph: CodeGraph, site: Node) -> Argument | None:
    call = read_call(graph, site)
    first = call.arguments[0] if call.arguments and not call.arguments[0].name else None
    return first or call.keyword("params")


KIND = SplitWeightDecay()
