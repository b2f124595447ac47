"""tie-weights: let the head of a language model share its weights with the embedding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.facts import is_torch_module
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import Layer, layers_of, refuses_weights, same_size

if TYPE_CHECKING:
    from collections.abc import Mapping

_GPT = """\
import torch
from torch import nn
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.transformer = nn.ModuleDict(dict(
            wte = nn.Embedding(config.vocab_size, config.n_embd),
            wpe = nn.Embedding(config.block_size, config.n_embd),
        ))
        self.lm_head = nn.Linear(config.n_embd, {out}, bias=False)  # (C, V)
{tie}        self.apply(self._init_weights)
    def _init_weights(self, module):
        nn.init.normal_(module.weight)
    def forward(self, idx):
        return self.lm_head(self.transformer.wte(idx))
"""
_OPTIM = "class Trainer:\n    def setup(self, m):\n        {groups}\n        return torch.optim.AdamW(groups)\n"
_EACH = "groups = [dict(params=m.transformer.parameters()), dict(params=m.lm_head.parameters(), lr=1e-3)]"
_TIE = "        self.lm_head.weight = self.transformer.wte.weight\n"
_SITE, _OUT = "tie-weights@a:GPT.__init__/call.Linear", "config.vocab_size"


class TieWeights(EditKind):
    """Share the weight of the token embedding with the output layer: `self.lm_head.weight = self.transformer.wte.weight`.

    Why: a third of the parameters of a small model, and usually a better loss for its size. Source: Press and Wolf 2016
    (arXiv:1608.05859); Inan et al. 2016 (arXiv:1611.01462). Offered where both state the same two sizes. Not offered where an optimizer
    lists the two apart or asserts how many parameters there are, nor for modules that are made on the meta device.
    """

    name = "tie-weights"
    family = Family.BLOCK
    at = NodeKind.CALL
    examples = (
        Example({"a.py": _GPT.format(out=_OUT, tie="")}, _SITE, {"a.py": _GPT.format(out=_OUT, tie=_TIE)}),
        Example(
            {"a.py": _GPT.format(out=_OUT, tie="") + _OPTIM.format(groups="groups = m.parameters()")},
            _SITE,
            {"a.py": _GPT.format(out=_OUT, tie=_TIE) + _OPTIM.format(groups="groups = m.parameters()")},
        ),
        Example(
            {"a.py": "from torch import nn\nclass LM(nn.Module):\n    def __init__(self, v, n):\n        super().__init__()\n        "
                     "self.n = n\n        self.head = nn.Linear(self.n, v)\n        self.emb = nn.Embedding(v, n)\n"},
            "tie-weights@a:LM.__init__/call.Linear",
            {"a.py": "from torch import nn\nclass LM(nn.Module):\n    def __init__(self, v, n):\n        super().__init__()\n        "
                     "self.n = n\n        self.head = nn.Linear(self.n, v)\n        self.emb = nn.Embedding(v, n)\n"
                     "        self.head.weight = self.emb.weight\n"},
        ),
    )  # fmt: skip
    refusals = (
        Refusal({"a.py": _GPT.format(out=_OUT, tie=_TIE)}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _GPT.format(out="config.n_class", tie="")}, _SITE, Reason.SHAPE),
        Refusal({"a.py": _GPT.format(out=_OUT, tie="") + _OPTIM.format(groups=_EACH)}, _SITE, Reason.SHARED),
        Refusal({"a.py": _GPT.format(out=_OUT, tie="") + 'with torch.device("meta"):\n    GPT(c)\n'}, _SITE, Reason.UNKNOWN_VALUE),
        Refusal({"a.py": _GPT.format(out=_OUT, tie="")}, "tie-weights@a:GPT.__init__/call.Embedding", Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The call that makes the head, in the module that makes the embedding; there is nothing to choose."""
        function = graph.nodes[site.scope]
        if "Linear" not in site.label or function.label != "__init__" or not is_torch_module(graph, function.scope):
            return Reason.NO_SITE
        layers = layers_of(graph, function.scope)
        head = next((layer for layer in layers.values() if layer.made == site), None)
        if head is None or head.sort != "Linear" or not any(e.sort == "Embedding" for e in layers.values()):
            return Reason.NO_SITE
        embedding = _embedding(graph, function.scope, head)
        if embedding is None:
            return Reason.SHAPE
        text = graph.text(graph.nodes[function.scope])
        if re.search(rf"\b{re.escape(head.path)}\.weight\s*=[^=]|\b{re.escape(embedding.path)}\.weight\s*=[^=]", text):
            return Reason.ALREADY
        return refuses_weights(graph) or NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Assign the weight behind the later of the two."""
        owner = graph.nodes[site.scope].scope
        head = next(layer for layer in layers_of(graph, owner).values() if layer.made == site)
        embedding = _embedding(graph, owner, head)
        if embedding is None:  # the domain said that there is one
            return ()
        later = max(head.statement, embedding.statement, key=lambda n: n.start)
        return (InsertStmt(later, f"self.{head.path}.weight = self.{embedding.path}.weight"),)


def _embedding(graph: CodeGraph, class_slot: str, head: Layer) -> Layer | None:
    """Return the one embedding whose weight has the shape of the head's."""
    found = [
        e
        for e in layers_of(graph, class_slot).values()
        if e.sort == "Embedding"
        and same_size(graph, class_slot, e.sizes[0], head.sizes[1])
        and same_size(graph, class_slot, e.sizes[1], head.sizes[0])
    ]
    return found[0] if len(found) == 1 else None


KIND = TieWeights()
