"""swap-norm: normalise in another way, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.callees import argument_of, runs_only, spell
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.facts import FUNCTIONAL
from mutator.intents import DeleteStmt, Intent, ReplaceExpr, ReplaceStmt
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.norms import Norm, listed_too, parameters_used, read_norm

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHOICES = {
    "layer": ("rms", "none"), "rms": ("layer", "none"), "batch": ("group", "none"), "group": ("batch", "none"),
    "instance": ("batch", "group", "none"),
}  # fmt: skip
_MODULES = {"layer": "LayerNorm", "rms": "RMSNorm", "group": "GroupNorm", "batch": "BatchNorm2d", "none": "Identity"}
_KEPT = {
    "layer": ("eps", "elementwise_affine"),
    "rms": ("eps", "elementwise_affine"),
    "batch": ("eps", "affine"),
    "group": ("eps", "affine"),
}
_GONE = {
    "rms": ("bias",),
    "none": ("weight", "bias", "running_mean", "running_var", "eps"),
    "group": ("running_mean", "running_var"),
}
_NORM = """\
import torch
import torch.nn as nn
import torch.nn.functional as F
class Norm(nn.Module):
    def __init__(self, dim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
{bias}
    def forward(self, x):
        return {norm}
"""
_BIAS = "        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None\n"
_BLOCK = (
    _NORM.format(bias=_BIAS, norm="F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)")
    + """\
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm_1 = {made}
"""
)
_QK = """\
import torch.nn.functional as F
def norm(x):
    return F.rms_norm(x, (x.size(-1),))
def attend(q, k):
    q, k = norm(q), {k} # QK norm
    return q @ k.mT
"""
_DECAY = """\
from torch import nn
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.{norm}(config.n_embd, eps=1e-6{bias})
no_decay = (nn.LayerNorm, {more}nn.Embedding)
"""


class SwapNorm(EditKind):
    """Swap LayerNorm and RMSNorm, or leave the normalisation out: as a module, a function, or what the sources wrap around one.

    Why: modern language models dropped the mean and the bias for the same loss; where to normalise at all is what speed runs disagree
    about.
    Images: BatchNorm2d becomes GroupNorm of one group and back. Options that both take are kept; a bias that only the old one used goes;
    tuples of module classes that hold LayerNorm (weight decay) get the new class too.
    Source: RMSNorm, Zhang and Sennrich 2019 (arXiv:1910.07467); GroupNorm, Wu and He 2018 (arXiv:1803.08494). Not offered where other code
    asks the module for parameters that the new one lacks, and in place of a BatchNorm1d, whose input has two shapes.
    """

    name = "swap-norm"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _BLOCK.format(made="Norm(config.n_embd, bias=config.bias)")},
            "swap-norm@a:Block.__init__/call.Norm?to=rms",
            {"a.py": _BLOCK.format(made="nn.RMSNorm(config.n_embd)")},
        ),
        Example(
            {"a.py": _NORM.format(bias=_BIAS, norm="F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)")},
            "swap-norm@a:Norm.forward/call.layer_norm?to=rms",
            {"a.py": _NORM.format(bias="", norm="F.rms_norm(x, self.weight.shape, self.weight, eps=1e-5)")},
        ),
        Example(
            {"a.py": _QK.format(k="norm(k)")},
            "swap-norm@a:attend/call.norm.1?to=layer",
            {"a.py": _QK.format(k="F.layer_norm(k, k.shape[-1:])")},
        ),
        Example(
            {"a.py": _DECAY.format(norm="LayerNorm", bias=", bias=False", more="")},
            "swap-norm@a:Block.__init__/call.LayerNorm?to=rms",
            {"a.py": _DECAY.format(norm="RMSNorm", bias="", more="nn.RMSNorm, ")},
        ),
        Example(
            {"a.py": "from torch import nn\nbn = nn.BatchNorm2d(64, momentum=0.8, affine=False)\n"},
            "swap-norm@a:/call.BatchNorm2d?to=group",
            {"a.py": "from torch import nn\nbn = nn.GroupNorm(1, 64, affine=False)\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "y = norm(x)\n"}, "swap-norm@a:/call.norm?to=rms", Reason.NO_SITE),
        Refusal(
            {"a.py": "from torch import nn\nln = nn.LayerNorm(4)\nnn.init.zeros_(ln.bias)\n"},
            "swap-norm@a:/call.LayerNorm?to=rms",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": "from torch import nn\nln = nn.LayerNorm(*sizes)\n"},
            "swap-norm@a:/call.LayerNorm?to=rms",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": "from torch import nn\nbn = nn.BatchNorm2d(3)\n"},
            "swap-norm@a:/call.BatchNorm2d?to=layer",
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other normalisations over the same dimension, where nothing else asks for parameters that they lack."""
        if "orm" not in site.label and not site.label.startswith("ln"):
            return Reason.NO_SITE
        found = read_norm(graph, site)
        if found is None or (found.sort == "batch" and not site.label.endswith("2d")):
            return Reason.NO_SITE
        fits = [to for to in _CHOICES[found.sort] if self._planned(graph, site, found, to)]
        return choose(to=fits) if fits else Reason.SHARED

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Rewrite the call, and what only the old normalisation needed."""
        found = read_norm(graph, site)
        return self._planned(graph, site, found, str(choice["to"])) if found is not None else ()

    def _planned(self, graph: CodeGraph, site: Node, found: Norm, to: str) -> tuple[Intent, ...]:
        if found.x:
            return _function(graph, site, found, to)
        if parameters_used(graph, site, _GONE.get(to, ())):
            return ()
        old = runs_only(graph, site).removeprefix("torch.nn.")
        text, imports = spell(graph, site, f"torch.nn.{_MODULES[to]}")
        listed = listed_too(graph, site, old, _MODULES[to]) if old and to != "none" else ()
        if listed is None:
            return ()
        return (*imports, ReplaceExpr(site, f"{text}({_arguments(graph, site, found, to)})"), *listed)


def _arguments(graph: CodeGraph, site: Node, found: Norm, to: str) -> str:
    """Return what the constructor of the new module is given."""
    if to == "none":
        return ""
    positional = [a.value for a in read_call(graph, site).arguments if not a.name]
    own = found.form == "ours"
    first = ["1", found.dim] if to == "group" else [found.dim] if own or found.sort == "group" else positional
    kept = [] if own else [f"{a.name}={a.value}" for a in read_call(graph, site).arguments if a.name in _KEPT[to]]
    bias = read_call(graph, site).keyword("bias") if own and to == "layer" else None
    return ", ".join((*first, *kept, *([f"bias={bias.value}"] if bias else [])))


def _function(graph: CodeGraph, site: Node, found: Norm, to: str) -> tuple[Intent, ...]:
    if to == "none":
        return (
            (ReplaceExpr(site, found.x),) if len(read_call(graph, site).arguments) < 3 else ()
        )  # its weights would stay behind
    text, imports = spell(graph, site, f"{FUNCTIONAL}.{to}_norm")
    if found.form == "ours":
        x = found.x
        simple = x.replace(".", "").replace("_", "").isalnum()
        return (*imports, ReplaceExpr(site, f"{text}({x}, {x}.shape[-1:])")) if simple else ()
    weight, bias = argument_of(graph, site, "weight", 2), argument_of(graph, site, "bias", 3)
    eps = argument_of(graph, site, "eps", 4 if found.sort == "layer" else 3)
    if found.sort == "rms":
        bias = None
    without = _without_bias(graph, site, bias.value) if bias is not None and bias.value != "None" else ()
    if without is None:
        return ()
    arguments = [found.x, found.dim, *([weight.value] if weight else [])]
    arguments += [f"eps={eps.value}"] if eps is not None and eps.value != "None" else []
    return (*imports, ReplaceExpr(site, f"{text}({', '.join(arguments)})"), *without)


def _without_bias(graph: CodeGraph, site: Node, bias: str) -> tuple[Intent, ...] | None:
    """Say how a bias goes that only this call reads; None when it may be used elsewhere."""
    owner = graph.nodes[graph.nodes[site.scope].scope].slot if graph.nodes[site.scope].scope else ""
    name = bias.removeprefix("self.")
    slots = graph.members(owner, name) if bias != name and owner else ()
    statement = graph.statement(site)
    if len(slots) != 1 or statement is None:
        return None
    readers = set(graph.sources(slots[0], EdgeKind.READS))
    writers = [graph.nodes[slot] for slot in graph.sources(slots[0], EdgeKind.WRITES)]
    if len(writers) != 1 or not writers[0].scope.startswith(owner):
        return None
    if readers <= {statement.slot}:
        return (DeleteStmt(writers[0]),)
    optional = graph.text(writers[0]).endswith(" else None")  # all who read it know that there may be none
    return (ReplaceStmt(writers[0], f"{bias} = None"),) if optional else None


KIND = SwapNorm()
