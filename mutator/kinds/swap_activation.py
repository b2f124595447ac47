"""swap-activation: replace one nonlinearity by another."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.callees import attribute_calls, elementwise_class, runs_only, spell
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.facts import FUNCTIONAL
from mutator.intents import DeleteStmt, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

# Shape-preserving activations: functional name -> module class, and the options that both take (torch 2.13; the names since 1.9).
_MODULES = {
    "relu": "ReLU", "gelu": "GELU", "silu": "SiLU", "mish": "Mish", "elu": "ELU", "selu": "SELU", "celu": "CELU", "leaky_relu": "LeakyReLU",
    "hardswish": "Hardswish", "softplus": "Softplus", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu6": "ReLU6", "softsign": "Softsign",
    "hardtanh": "Hardtanh", "hardsigmoid": "Hardsigmoid",
}  # fmt: skip
_TAKES = {
    "gelu": {"approximate"}, "leaky_relu": {"negative_slope", "inplace"}, "elu": {"alpha", "inplace"}, "celu": {"alpha", "inplace"},
    **{name: {"inplace"} for name in ("relu", "silu", "mish", "selu", "hardswish", "relu6", "hardsigmoid")},
}  # fmt: skip
_SQUARED = "relu2"  # relu(x)**2: So et al. 2021, Primer (arXiv:2109.08668)
_CLASSES = {module: name for name, module in _MODULES.items()}
_METHODS = frozenset({"relu", "tanh", "sigmoid"})
_GATES = ("hardsigmoid", "tanh", "softsign", "relu", "silu")  # what a factor may also be
_BOUNDED = ("softsign", "hardtanh")  # what else can cap logits at 1
_OURS = re.compile(r"gelu|relu|silu|swish|mish|elu|activation", re.IGNORECASE)
_MLP = """\
import torch.nn as nn
import torch.nn.functional as F
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
{init}        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        x = self.c_fc(x)
        x = {act}
        return self.c_proj(x)
"""


class _Form(NamedTuple):
    """How an activation stands there: which one, in what form, and its input."""

    name: str
    form: str  # function, method, module, ours or square
    x: str = ""


class SwapActivation(EditKind):
    """Swap an activation that keeps its input's shape for another one: a function, a method, a module, or a class that wraps one.

    Why: ReLU squared and SiLU are among the surviving edits of public speed runs; all choices keep the shape, so every edit trains.
    `.square()` behind a ReLU is a site of its own: there the whole square is replaced. Options that the new one takes too are kept.
    Source: torch.nn.functional; ReLU squared from Primer (arXiv:2109.08668). A sigmoid becomes what else gates, a tanh that caps logits
    what else is bounded. Not offered for what makes a loss or a positive number (softplus).
    """

    name = "swap-activation"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": "import torch.nn.functional as F\ny = F.gelu(h, approximate='tanh')\n"},
            "swap-activation@a:/call.gelu?to=silu",
            {"a.py": "import torch.nn.functional as F\ny = F.silu(h)\n"},
        ),
        Example(
            {"a.py": _MLP.format(init="", act="F.relu(x).square()")},
            "swap-activation@a:MLP.forward/call.square?to=gelu",
            {"a.py": _MLP.format(init="", act="F.gelu(x)")},
        ),
        Example(
            {"a.py": _MLP.format(init="        self.gelu    = nn.GELU()\n", act="self.gelu(x)")},
            "swap-activation@a:MLP.__init__/call.GELU?to=relu2",
            {"a.py": _MLP.format(init="", act="F.relu(x).square()")},
        ),
        Example(
            {"a.py": "from torch.nn.functional import relu\ny = 2 * relu(h, inplace=True)\n"},
            "swap-activation@a:/call.relu?to=leaky_relu",
            {
                "a.py": "from torch.nn.functional import relu\nimport torch.nn.functional as F\ny = 2 * F.leaky_relu(h, inplace=True)\n"
            },
        ),
        Example(
            {"a.py": "import torch\ncap = 15 * torch.tanh(logits / 15)\n"},
            "swap-activation@a:/call.tanh?to=softsign",
            {"a.py": "import torch\ncap = 15 * torch.nn.functional.softsign(logits / 15)\n"},
        ),
        Example(
            {"a.py": "from torch import nn\nact = nn.ReLU(inplace=True)\n"},
            "swap-activation@a:/call.ReLU?to=elu",
            {"a.py": "from torch import nn\nact = nn.ELU(inplace=True)\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "y = gelu(h)\n"}, "swap-activation@a:/call.gelu?to=silu", Reason.NO_SITE),
        Refusal(
            {"a.py": "from torch import tanh\nF = 3\ny = tanh(h)\n"},
            "swap-activation@a:/call.tanh?to=gelu",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {"a.py": "from torch import nn\nf(nn.ReLU())\n"}, "swap-activation@a:/call.ReLU?to=relu2", Reason.NO_CHOICE
        ),
        Refusal(
            {"a.py": "import torch\nloss = bce(torch.sigmoid(h), y)\n"},
            "swap-activation@a:/call.sigmoid?to=relu",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": "import torch.nn.functional as F\nkl = F.relu(kl_loss - 0.1)\n"},
            "swap-activation@a:/call.relu?to=silu",
            Reason.CONTRACT,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other activations, for every call that runs or makes one known activation; squared ReLU where the calls are in sight."""
        found = _read(graph, site)
        if found is None:
            return Reason.NO_SITE
        if "loss" in found.x or found.name == "softplus" or _logged(graph, site, found):
            return Reason.CONTRACT
        if _twins(graph, site, found)[0] is not site:
            return Reason.SHARED
        return choose(to=[name for name in _offered(graph, site, found) if name != found.name])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Rewrite the call in the author's own words for torch.nn.functional or torch.nn where there are any."""
        found = _read(graph, site)
        twins = _twins(graph, site, found) if found is not None else ()
        return tuple(intent for twin in twins for intent in self._one(graph, twin, str(choice["to"])))

    def _one(self, graph: CodeGraph, site: Node, to: str) -> tuple[Intent, ...]:
        found = _read(graph, site)
        if found is None:
            return ()
        kept = [f"{a.name}={a.value}" for a in read_call(graph, site).arguments if a.name in _TAKES.get(to, ())]
        if found.form in ("module", "ours"):
            if to == _SQUARED:
                return _inlined(graph, site)
            made, needed = spell(graph, site, f"torch.nn.{_MODULES[to]}")
            return (*needed, ReplaceExpr(site, f"{made}({', '.join(kept)})"))
        if found.form == "method" and to in (*_METHODS, _SQUARED):
            return (ReplaceExpr(site, f"{found.x}.relu().square()" if to == _SQUARED else f"{found.x}.{to}()"),)
        text, imports = _applied(graph, site, to, ", ".join((_bare(found.x), *kept)))
        return (*imports, ReplaceExpr(site, text))


def _read(graph: CodeGraph, call: Node) -> _Form | None:
    if call.label in _MODULES:
        return _function(graph, call)
    if call.label in _CLASSES:
        path = runs_only(graph, call)
        return _Form(_CLASSES[call.label], "module") if path == f"torch.nn.{call.label}" else None
    if call.label == "square" and runs_only(graph, call) == "torch.Tensor.square":
        inner = _receiver(graph, call)
        found = _function(graph, inner) if inner is not None and inner.label == "relu" else None
        return _Form(_SQUARED, "square", found.x) if found is not None else None
    made = [
        slot for slot in graph.callees(call) if _OURS.search(call.label) and graph.nodes[slot].kind is NodeKind.CLASS
    ]
    return _Form("", "ours") if len(made) == 1 and elementwise_class(graph, made[0]) else None


def _function(graph: CodeGraph, call: Node) -> _Form | None:
    path, read = runs_only(graph, call), read_call(graph, call)
    if path == f"torch.Tensor.{call.label}" and call.label in _METHODS and not read.arguments:
        return _Form(call.label, "method", read.function.rpartition(".")[0].strip())
    given = [a for a in read.arguments if a.name in ("", "input")]
    known = path in (f"{FUNCTIONAL}.{call.label}", f"torch.{call.label}")
    return _Form(call.label, "function", given[0].value) if known and given else None


def _receiver(graph: CodeGraph, call: Node) -> Node | None:
    """Return the call that a method is called on: `F.relu(x)` of `F.relu(x).square()`."""
    inside = (graph.nodes[slot] for slot in graph.targets(call.slot, EdgeKind.CONTAINS))
    return next((n for n in inside if n.kind is NodeKind.CALL and n.start == call.start), None)


def _offered(graph: CodeGraph, site: Node, found: _Form) -> tuple[str, ...]:
    if found.name in ("sigmoid", "hardsigmoid"):
        outer = graph.parent(site)
        factor = found.form != "module" and outer is not None and outer.label == "mul"
        return ("sigmoid", *_GATES) if factor else ("sigmoid", "hardsigmoid")
    if found.name in ("tanh", *_BOUNDED) and _divided(found.x):
        return ("tanh", *_BOUNDED)
    plain = tuple(name for name in _MODULES if name not in ("softplus", "hardsigmoid", "sigmoid"))
    squared = found.form in ("function", "method", "square") or bool(_inlined(graph, site))
    return (*plain, _SQUARED) if squared else plain


def _bare(x: str) -> str:
    """Take off the parentheses that a receiver needed."""
    return x[1:-1] if x.startswith("(") and fill("{x}.y", x=x[1:-1]) == f"{x}.y" else x


def _divided(x: str) -> bool:
    tree = ast.parse(f"({x})", mode="eval").body if x else None
    return isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div)


def _logged(graph: CodeGraph, site: Node, found: _Form) -> bool:
    """Whether probabilities are made for a logarithm, which takes no zero."""
    function = graph.nodes[site.scope]
    return found.name == "sigmoid" and function.kind is NodeKind.FUNCTION and "log(" in graph.text(function)


def _twins(graph: CodeGraph, site: Node, found: _Form) -> tuple[Node, ...]:
    """Return the calls of a function that apply an activation to what the same layer gives, as when it serves training and decoding."""
    layer = re.match(r"self\.\w+\(", found.x)
    if layer is None or found.form != "function":
        return (site,)
    same = [
        n for n in graph.files[site.path].nodes if (n.kind, n.label, n.scope) == (NodeKind.CALL, site.label, site.scope)
    ]
    return tuple(n for n in same if (other := _function(graph, n)) is not None and other.x.startswith(layer[0]))


def _applied(graph: CodeGraph, site: Node, to: str, arguments: str) -> tuple[str, tuple[Intent, ...]]:
    text, imports = spell(graph, site, f"{FUNCTIONAL}.{'relu' if to == _SQUARED else to}")
    return f"{text}({arguments}){'.square()' if to == _SQUARED else ''}", imports


def _inlined(graph: CodeGraph, site: Node) -> tuple[Intent, ...]:
    """Say how calls of the module become squared ReLUs and its attribute goes; nothing where it may be used otherwise."""
    made, calls = graph.statement(site), attribute_calls(graph, site)
    if made is None or not calls:
        return ()
    planned: list[Intent] = [DeleteStmt(made)]
    for call in calls:
        text, imports = _applied(graph, call, _SQUARED, read_call(graph, call).arguments[0].value)
        planned += (*imports, ReplaceExpr(call, text))
    return tuple(planned)


KIND = SwapActivation()
