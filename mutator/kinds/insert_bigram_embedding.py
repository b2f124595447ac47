"""insert-bigram-embedding: look up an embedding of each token with the one before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import spell
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.facts import FUNCTIONAL, forward_of_module
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import embedding_width, free_name, init_of, refuses_weights
from mutator.tensors import NO_VALUE, embeds, tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUCKETS = Between(64, 1_048_576, (4096, 16384))
_PRIME = 31337  # prime: pairs of small ids spread over the buckets
_NET = """\
import torch
import torch.nn.functional as F
from torch import nn
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd){made}
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.apply(self._init_weights)
    def _init_weights(self, module):
        pass
    def forward(self, idx):
        b, t = idx.size()
        x = self.wte(idx)  # (b, t, n_embd){x}
        return x + self.wpe(torch.arange(t))
def setup(model):
    return torch.optim.AdamW({given})
"""
_MADE = "\n        self.bigrams = nn.Parameter(torch.zeros({}, config.n_embd))"
_PAIRS = "\n        pairs = (idx + 31337 * F.pad(idx, (1, -1))) % len(self.bigrams)\n        x = x + F.embedding(pairs, self.bigrams)"
_SITE = "insert-bigram-embedding@a:GPT.forward/stmt.x?buckets="
_ALL = "model.parameters()"


class InsertBigramEmbedding(EditKind):
    """Add an embedding of the pair (token before, token), hashed into buckets, to the embedding of each token.

    Why: -15 % loss on a small language model, the largest single gain that was measured; the blocks need not learn bigrams. Source:
    hashed n-gram embeddings, Clark et al. 2022 (CANINE, arXiv:2103.06874); modded-nanoGPT 2025. It starts at zero, draws no random number,
    and looks back one token and never ahead. Not offered where the width cannot be named, or new weights would not be trained.
    """

    name = "insert-bigram-embedding"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(made="", x="", given=_ALL)},
            f"{_SITE}4096",
            {"a.py": _NET.format(made=_MADE.format(4096), x=_PAIRS, given=_ALL)},
        ),
        Example(
            {"a.py": _NET.format(made="", x="", given=_ALL).replace("x = self.wte(idx)", "x = self.wte(idx) + 1")},
            f"{_SITE}16384",
            {
                "a.py": _NET.format(made=_MADE.format(16384), x=_PAIRS, given=_ALL).replace(
                    "x = self.wte(idx)", "x = self.wte(idx) + 1"
                )
            },
        ),
        Example(
            {"a.py": _NET.format(made="", x="", given=_ALL).replace("self.wte(idx)", "2 * (self.wte(idx) * 8.0 + 1)")},
            f"{_SITE}4096",
            {
                "a.py": _NET.format(made=_MADE.format(4096), x=_PAIRS, given=_ALL).replace(
                    "self.wte(idx)", "2 * (self.wte(idx) * 8.0 + 1)"
                )
            },
        ),
        Example(
            {"a.py": _NET.format(made="", x="", given="[p for p in model.parameters() if p.requires_grad]")},
            f"{_SITE}4096",
            {
                "a.py": _NET.format(
                    made=_MADE.format(4096), x=_PAIRS, given="[p for p in model.parameters() if p.requires_grad]"
                )
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(made=_MADE.format(9), x=_PAIRS, given=_ALL)}, f"{_SITE}4096", Reason.ALREADY),
        Refusal({"a.py": _NET.format(made="", x="", given="model.wte.parameters()")}, f"{_SITE}4096", Reason.SHARED),
        Refusal({"a.py": _NET.format(made="", x="", given=_ALL).replace("b, t = idx.size()", "t = 4")}, f"{_SITE}64", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": _NET.format(made="", x="", given=_ALL)}, f"{_SITE}3", Reason.NO_CHOICE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How many buckets, behind the statement that looks up the embeddings of tokens (B, T)."""
        if site.label in NO_VALUE or not forward_of_module(graph, site) or not embeds(graph, site):
            return Reason.NO_SITE
        if not tokens_of(graph, site) or not embedding_width(graph, site)[0]:
            return Reason.UNKNOWN_VALUE
        if "gram" in graph.text(graph.nodes[graph.nodes[site.scope].scope]):
            return Reason.ALREADY
        return refuses_weights(graph) or choose(buckets=_BUCKETS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Make the table behind the layers, and look the pairs up behind the tokens."""
        owner = graph.nodes[graph.nodes[site.scope].scope]
        width, after = embedding_width(graph, site)
        init, ids, x = init_of(graph, owner.slot), tokens_of(graph, site), site.label
        if init is None or after is None:  # the domain said that there are
            return ()
        name, pairs = (
            free_name(graph, owner.slot, "bigrams"),
            "pairs" if not graph.bindings("pairs", site.scope) else "bigram_ids",
        )
        parameter, imports = spell(graph, after, "torch.nn.Parameter")
        zeros, more = spell(graph, after, "torch.zeros")
        pad, again = spell(graph, site, f"{FUNCTIONAL}.pad")
        look_up = pad.removesuffix("pad") + "embedding"
        text = (
            f"{pairs} = ({ids} + {_PRIME} * {pad}({ids}, (1, -1))) % len(self.{name})\n"
            f"{x} = {x} + {look_up}({pairs}, self.{name})"
        )
        made = f"self.{name} = {parameter}({zeros}({choice['buckets']}, {width}))"
        return (*imports, *more, *again, InsertStmt(after, made), InsertStmt(site, text))


KIND = InsertBigramEmbedding()
