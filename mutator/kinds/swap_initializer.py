"""swap-initializer: draw the first weights from another distribution."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import argument_of, runs_only, spell
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.weights import is_matrix, layer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_INIT = "torch.nn.init"
_BY_STD = ("normal", "uniform", "trunc_normal")
_BY_FAN = ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal")  # need two dimensions
_NUMBER = re.compile(r"\d+\.?\d*(e-?\d+)?|\.\d+")
_PROJECTION = re.compile(r"proj|out$|^wo$|^down|^w2$")  # what adds to the residual stream
_USUAL_STD = "0.02"  # GPT-2, where nothing says better
_POSITIVE = ("0.0", "0.02")  # the bounds in which nanochat starts its gates
_GPT = """\
import math
import torch.nn as nn
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        for pn, p in self.named_parameters():
            if pn.endswith('c_proj.weight'):
                nn.init.{c_proj}
    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.{linear}
            nn.init.zeros_(module.bias)
"""
_SCALED = "normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * config.n_layer))"
_PLAIN = "normal_(module.weight, mean=0.0, std=0.02)"
_BLOCKS = """\
import torch
from torch import nn
class GPT(nn.Module):
    def __init__(self):
        self.c_q = nn.Linear(4, 4)
    def init_weights(self, s):
        torch.nn.init.{init}
"""


class _Now(NamedTuple):
    """What a call does now: to which tensor, with which distribution and standard deviation."""

    tensor: str
    name: str
    std: str  # empty when nothing states it


class SwapInitializer(EditKind):
    """Swap the distribution that weights start from, with the standard deviation kept: normal, uniform or truncated at three of them.

    For matrices also what follows from their shape: Xavier, Kaiming, orthogonal; for projections into the residual stream also zeros;
    for matrices of zeros also a small positive start (`positive`), with which gates open early.
    Why: short runs still stand where they started; zero projections make every block start as the identity.
    Source: Glorot and Bengio 2010; He et al. 2015 (arXiv:1502.01852); Saxe et al. 2014 (arXiv:1312.6120); zeros as in muP and nanochat;
    positive gates: nanochat, "autoresearch round 1".
    Not offered for biases, gains and distributions that are not centred.
    """

    name = "swap-initializer"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _GPT.format(c_proj=_SCALED, linear=_PLAIN)},
            "swap-initializer@a:GPT._init_weights/call.normal_?to=trunc_normal",
            {"a.py": _GPT.format(c_proj=_SCALED, linear="trunc_normal_(module.weight, std=0.02, a=-0.06, b=0.06)")},
        ),
        Example(
            {"a.py": _GPT.format(c_proj=_SCALED, linear=_PLAIN)},
            "swap-initializer@a:GPT.__init__/call.normal_?to=zeros",
            {"a.py": _GPT.format(c_proj="zeros_(p)", linear=_PLAIN)},
        ),
        Example(
            {"a.py": _BLOCKS.format(init="uniform_(self.c_q.weight, -s, s)")},
            "swap-initializer@a:GPT.init_weights/call.uniform_?to=normal",
            {"a.py": _BLOCKS.format(init="normal_(self.c_q.weight, std=s / 3**0.5)")},
        ),
        Example(
            {"a.py": _BLOCKS.format(init="uniform_(self.c_q.weight, -s, s)")},
            "swap-initializer@a:GPT.init_weights/call.uniform_?to=orthogonal",
            {"a.py": _BLOCKS.format(init="orthogonal_(self.c_q.weight)")},
        ),
        Example(
            {"a.py": _BLOCKS.format(init="zeros_(self.c_q.weight)")},
            "swap-initializer@a:GPT.init_weights/call.zeros_?to=positive",
            {"a.py": _BLOCKS.format(init="uniform_(self.c_q.weight, 0.0, 0.02)")},
        ),
        Example(
            {"a.py": "from torch import nn\ndef init(m, s):\n    m.weight.data.normal_(mean=0.0, std=s)\n"},
            "swap-initializer@a:init/call.normal_?to=uniform",
            {
                "a.py": "from torch import nn\ndef init(m, s):\n"
                "    nn.init.uniform_(m.weight, -(3**0.5) * s, 3**0.5 * s)\n"
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _GPT.format(c_proj=_SCALED, linear=_PLAIN)},
            "swap-initializer@a:GPT._init_weights/call.zeros_?to=normal",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _GPT.format(c_proj=_SCALED, linear=_PLAIN)},
            "swap-initializer@a:GPT._init_weights/call.normal_?to=zeros",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": _BLOCKS.format(init="uniform_(self.c_q.weight, 0.0, 0.02)")},
            "swap-initializer@a:GPT.init_weights/call.uniform_?to=normal",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": "from torch import nn\nnn.init.normal_(self.gate, std=0.1)\n"},
            "swap-initializer@a:/call.normal_?to=orthogonal",
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The distributions of the same standard deviation, and those of its shape where the tensor is a matrix."""
        found = _read(graph, site) if site.label.endswith("_") else Reason.NO_SITE
        if isinstance(found, Reason):
            return found
        matrix = is_matrix(graph, site, found.tensor)
        if not matrix and not found.std:
            return Reason.NO_SITE
        names = [*_BY_STD, *(_BY_FAN if matrix else ())]
        if matrix and _PROJECTION.search(layer_of(graph, site, found.tensor)):
            names.append("zeros")
        if found.name == "zeros":
            names.append("positive")
        if found.std and not (_NUMBER.fullmatch(found.std) or found.std.isidentifier()):
            names = [name for name in names if name not in ("uniform", "trunc_normal")]  # which say it more than once
        return choose(to=[name for name in names if name != found.name])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Call the other initialiser on the same tensor."""
        found, to = _read(graph, site), str(choice["to"])
        if isinstance(found, Reason):
            return ()
        text, imports = spell(graph, site, f"{_INIT}.{'uniform' if to == 'positive' else to}_")
        arguments = ", ".join((found.tensor, *_arguments(to, found.std or _USUAL_STD)))
        return (*imports, ReplaceExpr(site, f"{text}({arguments})"))


def _read(graph: CodeGraph, call: Node) -> _Now | Reason:
    name, path, read = call.label.removesuffix("_"), runs_only(graph, call), read_call(graph, call)
    if name not in (*_BY_STD, *_BY_FAN, "zeros") or read.starred:
        return Reason.NO_SITE
    receiver = read.function.rpartition(".")[0].removesuffix(".data")
    method = path in ("", f"torch.Tensor.{call.label}") and receiver.endswith(".weight")
    tensor = argument_of(graph, call, "tensor", 0)
    if not method and (path != f"{_INIT}.{call.label}" or tensor is None):
        return Reason.NO_SITE
    where = receiver if method or tensor is None else tensor.value
    if re.search(r"\bbias\b|_bias$", where):
        return Reason.NO_SITE
    if name not in _BY_STD:
        return _Now(where, name, "")
    std = _std(graph, call, name, 0 if method else 1)
    return _Now(where, name, std) if std else Reason.UNKNOWN_VALUE


def _std(graph: CodeGraph, call: Node, name: str, first: int) -> str:
    """Return the standard deviation of a centred distribution; empty when it has another mean, or nobody can tell."""
    if name == "uniform":
        low, high = argument_of(graph, call, "a", first), argument_of(graph, call, "b", first + 1)
        if low is None or high is None or low.value != f"-{high.value}":
            return ""
        return _scaled(high.value, 3**-0.5, "{x} / 3**0.5")
    mean, std = argument_of(graph, call, "mean", first), argument_of(graph, call, "std", first + 1)
    centred = mean is None or (_NUMBER.fullmatch(mean.value) is not None and float(mean.value) == 0)
    return (std.value if std is not None else "1.0") if centred else ""


def _arguments(to: str, std: str) -> tuple[str, ...]:
    if to == "positive":
        return _POSITIVE
    if to == "normal":
        return (f"std={std}",)
    if to == "uniform":
        return _scaled(std, -(3**0.5), "-(3**0.5) * {x}"), _scaled(std, 3**0.5, "3**0.5 * {x}")
    if to == "trunc_normal":
        reach = _scaled(std, 3, "3 * {x}")
        return f"std={std}", f"a={_scaled(std, -3, '-3 * {x}')}", f"b={reach}"
    return ()


def _scaled(text: str, factor: float, template: str) -> str:
    """Return the product as a number where the text is one, else as an expression."""
    return f"{float(text) * factor:.4g}" if _NUMBER.fullmatch(text) else fill(template, x=text)


KIND = SwapInitializer()
