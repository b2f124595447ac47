"""untie-weights: give the head of a language model weights of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.facts import is_torch_module
from mutator.intents import DeleteStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import refuses_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIE = re.compile(r"self\.[\w.]+\.weight\s*=\s*self\.[\w.]+\.weight")
_LM = """\
import torch
from torch import nn
class LM(nn.Module):
    def __init__(self, vocab, n, tied=True):
        super().__init__()
        self.emb = nn.Embedding(vocab, n)
        self.head = nn.Linear(n, vocab)
{tie}        self.bias = nn.Parameter(torch.zeros(1))
    def forward(self, idx):
        return self.head(self.emb(idx)) + self.bias
"""
_PLAIN = _LM.format(tie="        # arXiv:1608.05859\n        self.head.weight = self.emb.weight  # (V, C)\n")
_FLAG = _LM.format(tie="        if tied:\n            self.head.weight = self.emb.weight\n")
_SITE = "untie-weights@a:LM.__init__/stmt.weight"


class UntieWeights(EditKind):
    """Take out the statement that ties the output layer to the embedding.

    Why: an untied head wins where parameters are free and steps are scarce; -2 % on a small language model. Source:
    modded-nanoGPT 2024. The head keeps what it was initialised with. Not offered where a flag decides, since `flip-flag` turns that, nor
    where an optimizer knows its parameters by name.
    """

    name = "untie-weights"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example({"a.py": _PLAIN}, _SITE, {"a.py": _LM.format(tie="        # arXiv:1608.05859\n")}),
        Example(
            {"a.py": _PLAIN.replace("self.head.weight = self.emb.weight", "self.emb.weight = self.head.weight")},
            _SITE,
            {"a.py": _LM.format(tie="        # arXiv:1608.05859\n")},
        ),
        Example(
            {
                "a.py": _PLAIN,
                "b.py": "import torch\ndef optim(model):\n    return torch.optim.AdamW(model.parameters(), lr=1e-3)\n",
            },
            _SITE,
            {"a.py": _LM.format(tie="        # arXiv:1608.05859\n")},
        ),
    )
    refusals = (
        Refusal({"a.py": _FLAG}, _SITE, Reason.NO_EFFECT),
        Refusal({"a.py": _PLAIN.replace("self.emb.weight  #", "other  #")}, _SITE, Reason.NO_SITE),
        Refusal(
            {"a.py": _PLAIN, "b.py": "import torch\ndef optim(m):\n    return torch.optim.AdamW(list(m.emb.parameters()) + [m.bias])\n"},
            _SITE, Reason.SHARED,
        ),
        Refusal({"a.py": _PLAIN}, "untie-weights@a:LM.__init__/stmt.head", Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The statement that ties, in the `__init__` of a torch module; there is nothing to choose."""
        if site.label != "weight" or not _TIE.match(graph.text(site)):
            return Reason.NO_SITE
        function, outer = graph.nodes[site.scope], graph.parent(site)
        if function.label != "__init__" or not is_torch_module(graph, function.scope):
            return Reason.NO_SITE
        return Reason.NO_EFFECT if outer != function else refuses_weights(graph) or NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Take it out."""
        return (DeleteStmt(site),)


KIND = UntieWeights()
