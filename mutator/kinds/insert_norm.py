"""insert-norm: normalise an activation of a module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import parts
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.effects import next_statement
from mutator.facts import forward_of_module, is_torch_module
from mutator.intents import InsertStmt, Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.tensors import NO_VALUE, NORMS, assigned, call_at, convolves, gives_tensor, is_norm, normed

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of torch.nn.functional: what gives an activation, and no weights, losses or indices.
_FUNCTIONS = re.compile(
    r"torch\.nn\.functional\.(linear|embedding|scaled_dot_product_attention|dropout|relu6?|gelu|silu|mish|[sc]?elu|leaky_relu|hardswish"
    r"|softplus|softsign|tanh|sigmoid)"
)
# Gives a tuple, positions in the last dimension, or no numbers.
_OTHER = re.compile(r"Softmax|Loss|Flatten|Pad|Conv|Pool|LSTM|GRU|RNN|Multihead|Transformer|Sequential")
_RESULTS = re.compile(r"loss|logit|prob|mask|weights|score")
_NET = """\
import torch.nn.functional as F
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(8, 4)
        self.fc = nn.Linear(4, 4)
    def forward(self, idx):
        n = idx.shape[0]
        x = self.emb(idx){norm}
        return self.fc(x)
"""
_WRAPPED = "def norm(x):\n    return F.rms_norm(x, (x.size(-1),))\nclass Net"


class InsertNorm(EditKind):
    """Insert a normalisation without parameters after a statement of `forward` that computes an activation.

    Why: where to normalise (after the embedding, before the head, queries and keys) is what public speed runs disagree about most.
    It fits every shape, since it normalises over the last dimension, whatever that is. Source: RMSNorm, Zhang and Sennrich 2019
    (arXiv:1910.07467); LayerNorm, Ba et al. 2016 (arXiv:1607.06450). In the words of the file where it has a function for it. Not offered
    for what is no activation or is normalised already, for attention weights, and beside convolutions: there the last dimension holds
    positions, and to normalise over them would show later ones. Inside of an expression `norm-sublayer` does it.
    """

    name = "insert-norm"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(norm="  # (B, T, C)")},
            "insert-norm@a:Net.forward/stmt.x?norm=rms",
            {"a.py": _NET.format(norm="  # (B, T, C)\n        x = F.rms_norm(x, x.shape[-1:])")},
        ),
        Example(
            {"a.py": _NET.format(norm=" + self.emb(idx % 2)")},
            "insert-norm@a:Net.forward/stmt.x?norm=layer",
            {"a.py": _NET.format(norm=" + self.emb(idx % 2)\n        x = F.layer_norm(x, x.shape[-1:])")},
        ),
        Example(
            {"a.py": _NET.format(norm="").replace("class Net", _WRAPPED)},
            "insert-norm@a:Net.forward/stmt.x?norm=rms",
            {"a.py": _NET.format(norm="\n        x = norm(x)").replace("class Net", _WRAPPED)},
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(norm="")}, "insert-norm@a:Net.forward/stmt.n?norm=rms", Reason.NO_SITE),
        Refusal(
            {"a.py": _NET.format(norm="\n        x = F.rms_norm(x, (4,))")},
            "insert-norm@a:Net.forward/stmt.x.1?norm=rms",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _NET.format(norm="\n        x = F.rms_norm(x, (4,))")},
            "insert-norm@a:Net.forward/stmt.x?norm=rms",
            Reason.ALREADY,
        ),
        Refusal({"a.py": _NET.format(norm="")}, "insert-norm@a:Net.forward/stmt.x?norm=batch", Reason.NO_CHOICE),
        Refusal(
            {"a.py": _NET.format(norm=".masked_fill(self.mask, -9)\n        x = F.dropout(x)")},
            "insert-norm@a:Net.forward/stmt.x.1?norm=layer",
            Reason.NO_SITE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Which normalisation, after every assignment of an activation to one name in the `forward` of a torch module."""
        if (
            site.label in NO_VALUE
            or _RESULTS.search(site.label)
            or not forward_of_module(graph, site)
            or not _activation(graph, site)
        ):
            return Reason.NO_SITE
        following = next_statement(graph, site)
        beside = [site, *([following] if following is not None and following.label == site.label else [])]
        return Reason.ALREADY if any(_normalises(graph, n) for n in beside) else choose(norm=NORMS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Normalise the name right after its assignment."""
        text, imports = normed(graph, site, str(choice["norm"]), site.label)
        return (*imports, InsertStmt(site, f"{site.label} = {text}"))


def _activation(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement binds one name to what a module or a torch function computes, channels last."""
    value = assigned(graph, statement)
    sides = parts(value) if value is not None and value.type == "binary_operator" else [value]
    calls = [call for side in sides if (call := call_at(graph, statement, side)) is not None]
    found = [callees for call in calls if (callees := graph.callees(call))]
    if not any(all(_gives_activation(graph, callee) for callee in callees) for callees in found):
        return False
    linear = all(callee.startswith("torch.nn.Linear") for callees in found for callee in callees)
    weights = re.search(
        rf"\b{statement.label}\s*=[^=\n]*(softmax|masked_fill)", graph.text(graph.nodes[statement.scope])
    )
    return weights is None and (linear or not convolves(graph, graph.nodes[statement.scope].scope))


def _gives_activation(graph: CodeGraph, callee: str) -> bool:
    node = graph.nodes[callee]
    if node.path:
        return node.label == "forward" and is_torch_module(graph, node.scope) and gives_tensor(graph, node)
    if callee.startswith("torch.nn.") and callee.endswith(".__call__"):
        return not _OTHER.search(callee)
    return bool(_FUNCTIONS.fullmatch(callee))


def _normalises(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement gives what a normalisation made; one inside a residual sublayer does not count."""
    value = assigned(graph, statement)
    sides = [value, *(parts(value) if value is not None and value.type == "binary_operator" else [])]
    calls = [call for side in sides if (call := call_at(graph, statement, side)) is not None]
    return any(is_norm(graph, call) for call in calls)


KIND = InsertNorm()
