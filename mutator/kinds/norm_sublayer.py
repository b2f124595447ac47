"""norm-sublayer: normalise what goes into a sublayer, or what comes out of its branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.facts import calls_in, forward_of_module
from mutator.intents import Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import heads_of
from mutator.tensors import NORMS, branch_of, channels_last, is_norm, is_sublayer, normed, span_text, writers

if TYPE_CHECKING:
    from collections.abc import Mapping

_NET = """\
import torch.nn.functional as F
from torch import nn
class MLP(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.proj = nn.Linear(n, n)
    def forward(self, x):
        return self.proj(x)
class Net(nn.Module):
    def __init__(self, vocab, n):
        super().__init__()
        self.emb, self.ln, self.mlp = nn.Embedding(vocab, n), nn.LayerNorm(n), MLP(n)
        self.tok = nn.Embedding(vocab, n)
        self.head = nn.Linear(n, vocab)
    def forward(self, idx):
        x = self.tok(idx)
        {update}
        return self.head({x})
"""
_WRAPPED = "def norm(x):\n    return F.rms_norm(x, (x.size(-1),))\nclass Net"
_OUT = "norm-sublayer@a:Net.forward/call.mlp?norm=rms&where=output"


class NormSublayer(EditKind):
    """Normalise the input of a residual sublayer or of the head, or the output of a residual branch (a sandwich where both are).

    Why: pre-norm keeps gradients even over depth, a norm behind the branch keeps the stream from growing. Source: Xiong et al. 2020
    (arXiv:2002.04745); CogView, Ding et al. 2021 (arXiv:2105.13290), section 2.4. Without weights. Not offered for an input that is
    normalised already, nor beside convolutions, where the last dimension holds positions. `move-norm` moves one that is there.
    """

    name = "norm-sublayer"
    family = Family.INSERT
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _NET.format(update="x = x + self.mlp(self.ln(x))", x="x")},
            _OUT,
            {"a.py": _NET.format(update="x = x + F.rms_norm(self.mlp(self.ln(x)), x.shape[-1:])", x="x")},
        ),
        Example(
            {"a.py": _NET.format(update="x = x + 0.5 * self.mlp(x)", x="x").replace("class Net", _WRAPPED)},
            "norm-sublayer@a:Net.forward/call.mlp?norm=rms&where=input",
            {"a.py": _NET.format(update="x = x + 0.5 * self.mlp(norm(x))", x="x").replace("class Net", _WRAPPED)},
        ),
        Example(
            {"a.py": _NET.format(update="x = self.mlp(x)", x="x")},
            "norm-sublayer@a:Net.forward/call.head?norm=layer&where=input",
            {"a.py": _NET.format(update="x = self.mlp(x)", x="F.layer_norm(x, x.shape[-1:])")},
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(update="x = self.mlp(x)", x="x")}, _OUT, Reason.NO_SITE),
        Refusal({"a.py": _NET.format(update="x = x + self.ln(self.mlp(self.ln(x)))", x="x")}, _OUT, Reason.ALREADY),
        Refusal({"a.py": _NET.format(update="x = self.ln(x)", x="x")}, _OUT.replace("mlp", "head"), Reason.ALREADY),
        Refusal(
            {"a.py": _NET.format(update="x = x + self.mlp(self.ln(x))", x="x")},
            _OUT.replace("output", "input"),
            Reason.NO_CHOICE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How and where, at the sublayer of a residual branch or at a head."""
        if not forward_of_module(graph, site) or not is_sublayer(graph, site):
            return Reason.NO_SITE
        if not channels_last(graph, site):
            return Reason.SHAPE
        places, normal = _places(graph, site)
        return choose(norm=NORMS, where=places) if places else Reason.ALREADY if normal else Reason.NO_SITE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Wrap the first argument, or the whole branch."""
        statement = graph.statement(site)
        branch = branch_of(graph, statement) if statement is not None else None
        if choice["where"] == "output" and branch is not None:
            text, imports = normed(graph, site, str(choice["norm"]), span_text(graph, branch.place), branch.stream)
            return (*imports, ReplaceExpr(branch.place, text))
        first = read_call(graph, site).arguments[0]
        text, imports = normed(graph, site, str(choice["norm"]), first.value)
        return (*imports, ReplaceExpr(Span(site.path, first.value_start, first.end), text))


def _places(graph: CodeGraph, call: Node) -> tuple[list[str], bool]:
    """Return where a norm may go at a call, and whether it is a sublayer or head at all."""
    statement, given = graph.statement(call), read_call(graph, call).arguments
    branch = branch_of(graph, statement) if statement is not None else None
    if statement is None or not given or given[0].name:
        return [], False
    if branch is not None and branch.call == call:
        behind = [
            c for c in calls_in(graph, statement) if c.start >= branch.place.start and c.start < call.start < c.end
        ]
        output = [] if any(is_norm(graph, c) for c in behind) else ["output"]
        return (["input"] if given[0].value == branch.stream and branch.norm is None else []) + output, True
    if call not in heads_of(graph, graph.nodes[call.scope]) or not given[0].value.isidentifier():
        return [], False
    writing = [w for w in writers(graph, graph.nodes[call.scope], given[0].value) if w.start < call.start]
    normal = any(is_norm(graph, c) for w in writing[-1:] for c in calls_in(graph, w))
    return ([] if normal or not writing else ["input"]), True


KIND = NormSublayer()
