"""drop-bias: take the bias out of a linear layer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import reached
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.facts import is_torch_module
from mutator.intents import Intent, SetArg
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_GUARD = re.compile(r"bias is not None|bias is None|(has|get)attr\([^)]*bias|if \w+\.bias\b|\.bias if ")
_USED = re.compile(r"(?<![\w.])(?!(self|c|args|params|(self\.)?(config|cfg))\.bias\b)[\w.\[\]]+\.bias\b")
_NET = """\
from torch import nn
class Net(nn.Module):
    def __init__(self, n, bias=True):
        super().__init__()
        self.fc = nn.Linear(n, {fc})  # up
        self.ln = nn.LayerNorm(n)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                {init}
    def forward(self, x):
        return self.ln(self.fc(x))
"""
_OURS = "from torch import nn\nclass Linear(nn.Linear):\n    pass\n"
_ASKED = "if m.bias is not None:\n                    nn.init.zeros_(m.bias)"
_WEIGHT, _SITE = "nn.init.normal_(m.weight)", "drop-bias@a:Net.__init__/call.Linear"


class DropBias(EditKind):
    """Make a linear layer without its bias: `bias=False`.

    Why: biases of large layers do little, and cost time and one more parameter to tune; a little better on a small language model.
    Source: PaLM, Chowdhery et al. 2022 (arXiv:2204.02311), section 2. Not offered where the sources set the bias of that layer, or of any
    module without asking whether it has one; `flip-flag` turns a `bias=True` that is written out.
    """

    name = "drop-bias"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _NET.format(fc="2 * n", init=_WEIGHT)},
            _SITE,
            {"a.py": _NET.format(fc="2 * n, bias=False", init=_WEIGHT)},
        ),
        Example(
            {"a.py": _NET.format(fc="out_features=n", init=_ASKED)},
            _SITE,
            {"a.py": _NET.format(fc="out_features=n, bias=False", init=_ASKED)},
        ),
        Example(
            {"a.py": _OURS + _NET.format(fc="n", init=_WEIGHT).replace("nn.Linear(n", "Linear(n")},
            _SITE,
            {"a.py": _OURS + _NET.format(fc="n, bias=False", init=_WEIGHT).replace("nn.Linear(n", "Linear(n")},
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(fc="n, bias=bias", init=_WEIGHT)}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _NET.format(fc="n", init="nn.init.zeros_(m.bias)")}, _SITE, Reason.SHARED),
        Refusal({"a.py": _NET.format(fc="n", init="self.fc.bias.data.zero_()")}, _SITE, Reason.SHARED),
        Refusal({"a.py": _NET.format(fc="n", init=_WEIGHT)}, "drop-bias@a:Net.__init__/call.LayerNorm", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every call in a torch module that makes a linear layer and says nothing of its bias; there is nothing to choose."""
        function = graph.nodes[site.scope]
        if "Linear" not in site.label or function.label != "__init__" or not is_torch_module(graph, function.scope):
            return Reason.NO_SITE
        read = read_call(graph, site)
        if reached(graph, site) != ("torch.nn.Linear",) or _overrides_init(graph, site):
            return Reason.NO_SITE
        if read.starred or read.keyword("bias") is not None or len([a for a in read.arguments if not a.name]) > 2:
            return Reason.ALREADY
        return Reason.SHARED if _asks_for_bias(graph) else NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Say that it has none."""
        return (SetArg(site, "bias", "False"),)


def _overrides_init(graph: CodeGraph, call: Node) -> bool:
    return any(slot.endswith(".__init__") and graph.nodes[slot].path for slot in graph.callees(call))


def _asks_for_bias(graph: CodeGraph) -> bool:
    """Whether a function of the sources uses the bias of another module and does not ask whether there is one."""
    paths = [path for path, file in graph.files.items() if b".bias" in file.data]
    functions = (n for path in paths for n in graph.files[path].nodes if n.kind is NodeKind.FUNCTION)
    texts = (graph.text(n) for n in functions)
    return any(_USED.search(text) and not _GUARD.search(text) for text in texts)


KIND = DropBias()
