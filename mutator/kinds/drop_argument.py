"""drop-argument: leave out a keyword argument, so that the callee's default holds."""

from __future__ import annotations

import ast
import re
from inspect import Parameter
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.values import Tag
from mutator.domain import Domain, OneOf, choose
from mutator.edit import Scalar
from mutator.intents import DropArgs, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import off_the_path
from mutator.signatures import signature_of
from mutator.updates import serves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What shapes, places, seeds, counts or measures, and what the metric assumes.
_KEPT = re.compile(
    r"dim|axis|device|dtype|causal|mask|ignore|reduction|reduce|average|generator|seed|shape|size|dynamic|fullgraph|persistent|fused|foreach"
    r"|capturable|worker|pin_|batch|drop_last|shuffle|gqa|blocking|weights_only|location|strict|^start|^end$|step|training|inplace|copy|mode"
    r"|padding|stride|groups|dilation|num_|^n_|channels|features|name|path|file|verbose|log|enabled|requires_grad|window|max_iter|total|epoch"
    r"|maximize|size_average|set_to_none|len|vocab|rank|top_k|temperature|direction|warn|alpha|repeat"
)
_NO_TRAINING = re.compile(r"load|save|eval|list_|find|download|checkpoint|print|log|report|tokeniz|generate|sample")
_ELSEWHERE = (
    "torch.utils.",
    "torch.distributed.",
    "torch.cuda.",
    "torch.load",
    "torch.save",
    "torch.compile",
    "torch.autocast",
    "torch.amp.",
    "torch.profiler.",
)
_WEIGHTS = frozenset({"bias", "affine", "elementwise_affine"})
_DEFAULTS = (bool, int, float, str, tuple)
_NET = """\
import torch
from torch import nn
import torch.nn.functional as F
def cap(x, by=30.0, hard=False):
    return x.clamp(-by, by) if hard else by * torch.tanh(x / by)
class MLP(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc = nn.Linear(n, n{bias})
    def forward(self, x):
        return cap(F.gelu(self.fc(x){tanh}), by=15.0{hard})
"""


class DropArgument(EditKind):
    """Take a keyword argument out of a call whose callee has another value as its default.

    Why: what somebody set against the default is a choice to question, and the shorter call wins a tie. Callees are resolved: of torch by
    their recorded signatures, of ours by their definitions. Not offered: shapes, devices, seeds, masks, reductions, train and eval modes;
    defaults of None, which often mean another type; weights (`bias`) where an optimizer of ours sorts them by shape.
    """

    name = "drop-argument"
    family = Family.DELETE
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _NET.format(bias=", bias=False", tanh="", hard="")},
            "drop-argument@a:MLP.__init__/call.Linear?name=bias",
            {"a.py": _NET.format(bias="", tanh="", hard="")},
        ),
        Example(
            {"a.py": _NET.format(bias="", tanh=', approximate="tanh"', hard=", hard=True")},
            "drop-argument@a:MLP.forward/call.gelu?name=approximate",
            {"a.py": _NET.format(bias="", tanh="", hard=", hard=True")},
        ),
        Example(
            {"a.py": _NET.format(bias="", tanh="", hard=", hard=True")},
            "drop-argument@a:MLP.forward/call.cap?name=hard",
            {"a.py": _NET.format(bias="", tanh="", hard="")},
        ),
        Example(
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)\n"},
            "drop-argument@a:/call.AdamW?name=weight_decay",
            {"a.py": "import torch\nopt = torch.optim.AdamW(ps, lr=1e-3, betas=(0.9, 0.95))\n"},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "import torch\ny = torch.cat(xs, dim=1)\n"}, "drop-argument@a:/call.cat?name=dim", Reason.NO_EFFECT
        ),
        Refusal(
            {"a.py": _NET.format(bias=", bias=True", tanh="", hard="")},
            "drop-argument@a:MLP.__init__/call.Linear?name=bias",
            Reason.NO_EFFECT,
        ),
        Refusal({"a.py": "y = f(x, p=0.1)\n"}, "drop-argument@a:/call.f?name=p", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": "def f(x, *, p): ...\ny = f(x, p=0.1)\n"}, "drop-argument@a:/call.f?name=p", Reason.NO_EFFECT),
        Refusal(
            {"a.py": "import torch.nn.functional as F\ny = F.dropout(x, p=0.1, training=False)\n"},
            "drop-argument@a:/call.dropout?name=training",
            Reason.NO_CHOICE,
        ),
        Refusal({"a.py": "y = f(x)\n"}, "drop-argument@a:/call.f?name=p", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Which argument, of those that are given by keyword against a default."""
        if b"=" not in graph.snapshot.files[site.path][site.start : site.end]:
            return Reason.NO_SITE
        given = [a for a in read_call(graph, site).arguments if a.name not in ("", "*")]
        if not given:
            return Reason.NO_SITE
        callees = graph.callees(site)
        if not callees:
            return Reason.UNKNOWN_VALUE
        if any(_NO_TRAINING.search(graph.nodes[slot].label) for slot in callees):
            return Reason.SHARED
        defaults = _defaults(graph, callees)
        fixed = (
            _WEIGHTS
            if "torch.optim.Optimizer" in graph.nodes and graph.sources("torch.optim.Optimizer", EdgeKind.INHERITS)
            else ()
        )
        free = [a for a in given if a.name in defaults and a.name not in fixed and not _KEPT.search(a.name)]
        names = [
            a.name
            for a in free
            if not _sizes(graph, site, a.value) and _given(graph, site, a.value) != defaults[a.name]
        ]
        if not names:
            return Reason.NO_EFFECT
        return off_the_path(graph, site) or (Reason.SHARED if serves(graph, site) else choose(name=OneOf(tuple(names))))

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Drop it."""
        return (DropArgs(site, (str(choice["name"]),)),)


def _defaults(graph: CodeGraph, callees: tuple[str, ...]) -> dict[str, object]:
    """Return the defaults that all callees have in common, by the name of the parameter."""
    each = [dict(_of(graph, graph.nodes[slot])) for slot in callees if graph.nodes[slot].kind is not NodeKind.CLASS]
    first = each[0] if each else {}
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in each)}


def _of(graph: CodeGraph, callee: Node) -> Iterator[tuple[str, object]]:
    if callee.path:
        parameters = (graph.nodes[slot] for slot in graph.targets(callee.slot, EdgeKind.DEFINES))
        for parameter in parameters:
            written = graph.text(parameter).partition("=")[2].strip() if parameter.kind is NodeKind.PARAMETER else ""
            if isinstance(value := _literal(written), _DEFAULTS):
                yield parameter.label, value
        return
    signature = (
        signature_of(callee.slot)
        if callee.slot.startswith("torch.") and not callee.slot.startswith(_ELSEWHERE)
        else None
    )
    for taken in signature.parameters.values() if signature is not None else ():
        if taken.default is not Parameter.empty and isinstance(taken.default, _DEFAULTS):
            yield taken.name, taken.default


def _sizes(graph: CodeGraph, call: Node, value: str) -> bool:
    """Whether a name that is passed also cuts or sizes something in the unit: the result has to have that length."""
    unit = graph.text(graph.nodes[call.scope])
    return value.isidentifier() and re.search(rf"\[[^\[\]]*\b{value}\b[^\[\]]*\]", unit) is not None


def _given(graph: CodeGraph, site: Node, text: str) -> object:
    """Return the value of an argument: a literal, a name that is bound to one alone, a field of a configuration by its default."""
    owner, _, field = text.rpartition(".")
    if owner.isidentifier():
        held = graph.held(owner, site.scope) if graph.bindings(owner, site.scope) else ()
        members = graph.members(held[0].name, field) if len(held) == 1 and held[0].tag is Tag.INSTANCE else ()
        declared = [graph.nodes[w] for slot in members for w in graph.sources(slot, EdgeKind.WRITES)]
        return _literal(graph.text(declared[0]).partition("=")[2].strip()) if len(declared) == 1 else object()
    bound = graph.bindings(text, site.scope) if text.isidentifier() else ()
    return _literal(bound[0].value if len(bound) == 1 and bound[0].value else text)


def _literal(text: str) -> object:
    """Return the value of a literal; what cannot be read is equal to nothing."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return object()


KIND = DropArgument()
