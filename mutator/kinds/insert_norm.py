"""insert-norm: normalise an activation of a module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.facts import FUNCTIONAL, calls_in, forward_of_module, is_torch_module
from mutator.intents import EnsureImport, InsertStmt, Intent
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_NORMS = {"rms": "rms_norm", "layer": "layer_norm"}
# Of torch.nn.functional: what gives an activation, and no weights, losses or indices.
_FUNCTIONS = frozenset(
    {"linear", "embedding", "conv1d", "conv2d", "scaled_dot_product_attention", "dropout"}
    | {
        "relu",
        "gelu",
        "silu",
        "mish",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "hardswish",
        "softplus",
        "tanh",
        "sigmoid",
        "relu6",
        "softsign",
    }
)
_RESULTS = frozenset({"loss", "logits", "probs", "weights", "mask"})
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


class InsertNorm:
    """Insert a normalisation without parameters after a statement of `forward` that computes an activation.

    Why: where to normalise (after the embedding, before the head, queries and keys) is what public speed runs disagree about most.
    It fits every shape, since it normalises over the last dimension, whatever that is. Source: RMSNorm, Zhang and Sennrich 2019
    (arXiv:1910.07467); LayerNorm, Ba et al. 2016 (arXiv:1607.06450). Not offered for what is no activation or is normalised already.
    """

    name = "insert-norm"
    examples = (
        Example(
            {"a.py": _NET.format(norm="  # (B, T, C)")},
            "insert-norm@a:Net.forward/stmt.x?norm=rms",
            {"a.py": _NET.format(norm="  # (B, T, C)\n        x = F.rms_norm(x, x.shape[-1:])")},
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
            Reason.NO_SITE,
        ),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every assignment of an activation to one name in the `forward` of a torch module."""
        return (
            n
            for n in graph.of_kind(NodeKind.STATEMENT)
            if forward_of_module(graph, n) and _activation(graph, n) and not _normed(graph, n)
        )

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """Which normalisation."""
        return tuple((("norm", name),) for name in _NORMS)

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Normalise the name right after its assignment."""
        x, function = site.label, _NORMS[str(choice[0][1])]
        return (EnsureImport(site, FUNCTIONAL, "F"), InsertStmt(site, f"{x} = F.{function}({x}, {x}.shape[-1:])"))


def _activation(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement binds one name to what a module or a torch function computes."""
    assignment = graph.files[statement.path].tree.root_node.descendant_for_byte_range(statement.start, statement.end)
    while assignment is not None and assignment.type == "expression_statement":
        assignment = assignment.named_children[0]
    left = (
        assignment.child_by_field_name("left") if assignment is not None and assignment.type == "assignment" else None
    )
    if left is None or left.type != "identifier" or statement.label in _RESULTS:
        return False
    right = assignment.child_by_field_name("right") if assignment is not None else None
    parts = right.named_children if right is not None and right.type == "binary_operator" else [right]
    spans = {(part.start_byte, part.end_byte) for part in parts if part is not None and part.type == "call"}
    calls = (call for call in calls_in(graph, statement) if (call.start, call.end) in spans)
    return any(_gives_activation(graph, callee) for call in calls for callee in graph.callees(call))


def _gives_activation(graph: CodeGraph, callee: str) -> bool:
    node = graph.nodes[callee]
    if node.path:
        return node.label == "forward" and is_torch_module(graph, node.scope)
    if callee.startswith("torch.nn.") and callee.endswith(".__call__"):
        return not re.search(r"Softmax|Loss|Flatten|Pad", callee)
    return callee.removeprefix(f"{FUNCTIONAL}.") in _FUNCTIONS


def _normed(graph: CodeGraph, statement: Node) -> bool:
    """Whether the statement or the next one normalises already."""
    following = [
        n for n in graph.of_kind(NodeKind.STATEMENT) if n.scope == statement.scope and n.start > statement.start
    ][:1]
    calls = (
        call
        for node in (statement, *following)
        if node is statement or node.label == statement.label
        for call in calls_in(graph, node)
    )
    return any("norm" in slot.lower() for call in calls for slot in (call.label, *graph.callees(call)))
