"""swap-activation: replace one nonlinearity by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.facts import FUNCTIONAL, calls_only
from mutator.intents import EnsureImport, Intent, ReplaceExpr
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

# Shape-preserving activations: functional name -> module class (torch 2.13; the same names since 1.9).
_MODULES = {
    "relu": "ReLU", "gelu": "GELU", "silu": "SiLU", "mish": "Mish", "elu": "ELU", "selu": "SELU", "celu": "CELU", "leaky_relu": "LeakyReLU",
    "hardswish": "Hardswish", "softplus": "Softplus", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu6": "ReLU6", "softsign": "Softsign",
}  # fmt: skip
_SQUARED = "relu2"  # relu(x)**2: So et al. 2021, Primer (arXiv:2109.08668)
_CLASSES = {module: name for name, module in _MODULES.items()}


class SwapActivation:
    """Swap an activation that keeps its input's shape for another one, as a function or as a module.

    Why: ReLU squared and SiLU are among the surviving edits of public speed runs; all choices keep the shape, so every edit trains.
    Source: torch.nn.functional; ReLU squared from Primer (arXiv:2109.08668). Options of the old activation are dropped.
    """

    name = "swap-activation"
    examples = (
        Example(
            {"a.py": "import torch.nn.functional as F\ny = F.gelu(h, approximate='tanh')\n"},
            "swap-activation@a:/call.gelu?to=silu",
            {"a.py": "import torch.nn.functional as F\ny = F.silu(h)\n"},
        ),
        Example(
            {"a.py": "import torch.nn.functional as F\ny = 2 * F.gelu(self.fc(x))\n"},
            "swap-activation@a:/call.gelu?to=relu2",
            {"a.py": "import torch.nn.functional as F\ny = 2 * F.relu(self.fc(x)).square()\n"},
        ),
        Example(
            {"a.py": "import torch\ny = torch.tanh(h)\n"},
            "swap-activation@a:/call.tanh?to=gelu",
            {"a.py": "import torch\nimport torch.nn.functional as F\ny = F.gelu(h)\n"},
        ),
        Example(
            {"a.py": "from torch import nn\nact = nn.ReLU(inplace=True)\n"},
            "swap-activation@a:/call.ReLU?to=mish",
            {"a.py": "from torch import nn\nact = nn.Mish()\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "y = gelu(h)\n"}, "swap-activation@a:/call.gelu?to=silu", Reason.NO_SITE),
        Refusal(
            {"a.py": "import torch\nF = 3\ny = torch.tanh(h)\n"},
            "swap-activation@a:/call.tanh?to=gelu",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {"a.py": "from torch import nn\nact = nn.ReLU()\n"},
            "swap-activation@a:/call.ReLU?to=relu2",
            Reason.NO_CHOICE,
        ),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every call that runs one known activation."""
        return (node for node in graph.of_kind(NodeKind.CALL) if _function(graph, node) or _class(graph, node))

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """The other activations; squared ReLU only as a function."""
        old = _function(graph, site)
        names = (*_MODULES, _SQUARED) if old else tuple(_MODULES)
        return tuple((("to", name),) for name in names if name not in (old, _CLASSES.get(_class(graph, site))))

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Rewrite the call with its input alone, through the author's own name for torch.nn.functional where there is one."""
        to, call = str(choice[0][1]), read_call(graph, site)
        prefix = call.function.rpartition(".")[0]
        if _class(graph, site):
            return (ReplaceExpr(site, f"{prefix}.{_MODULES[to]}()"),)
        through = prefix if calls_only(graph, site, f"{FUNCTIONAL}.") and prefix else "F"
        x = call.arguments[0].value
        text = f"{through}.relu({x}).square()" if to == _SQUARED else f"{through}.{to}({x})"
        imports = (EnsureImport(site, FUNCTIONAL, "F"),) if through != prefix else ()
        return (*imports, ReplaceExpr(site, text))


def _function(graph: CodeGraph, call: Node) -> str:
    name = calls_only(graph, call, f"{FUNCTIONAL}.") or calls_only(graph, call, "torch.")
    given = read_call(graph, call).arguments if name in _MODULES else ()
    return name if given and given[0].name == "" else ""


def _class(graph: CodeGraph, call: Node) -> str:
    name = calls_only(graph, call, "torch.nn.")
    return name if name in _CLASSES and "." in read_call(graph, call).function else ""
