"""insert-layer: put another hidden layer behind one, with the same activation."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.groups import Use, layer_of, sizes_of
from mutator.intents import InsertStmt, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.layers import attribute_of, following, innermost, makes_activation, only_called, statement_at
from mutator.modules import free_name, refuses_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode

_MLP = """\
import torch.nn.functional as F
from torch import nn
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
{layer}        self.proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)
    def forward(self, x):
        {first}
{more}        return self.proj(x)
"""
_LAYER = "        self.fc_2 = nn.Linear(4 * config.n_embd, 4 * config.n_embd, bias=False)\n"
_TWO = "x = self.fc(x)\n        x = F.relu(x).square()"
_NET = "from torch import nn\nnet = nn.Sequential(\n    nn.Linear(4, 64),  # wide\n    nn.Tanh(),\n{more}    nn.Linear(64, 1),\n)\n"


class InsertLayer(EditKind):
    """Insert a linear layer as wide as the one before it gives, and the activation again behind it.

    Why: one more nonlinear step inside a block, where duplicating the block would add attention too. In a Sequential two elements are
    inserted, in a class an attribute and the statements of `forward` that run it; the bias is that of the layer it follows. Source: the
    NASNet and Primer operator sets (arXiv:1707.07012, arXiv:2109.08668). Not offered: where nothing would initialise or train the weights.
    """

    name = "insert-layer"
    family = Family.BLOCK
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _MLP.format(layer="", first=_TWO, more="")},
            "insert-layer@a:MLP.__init__/call.Linear",
            {
                "a.py": _MLP.format(
                    layer=_LAYER, first=_TWO, more="        x = self.fc_2(x)\n        x = F.relu(x).square()\n"
                )
            },
        ),
        Example(
            {"a.py": _MLP.format(layer="", first="x = F.gelu(self.fc(x))", more="")},
            "insert-layer@a:MLP.__init__/call.Linear",
            {
                "a.py": _MLP.format(
                    layer=_LAYER, first="x = F.gelu(self.fc(x))", more="        x = F.gelu(self.fc_2(x))\n"
                )
            },
        ),
        Example(
            {"a.py": _NET.format(more="")},
            "insert-layer@a:/call.Linear",
            {"a.py": _NET.format(more="    nn.Linear(64, 64),\n    nn.Tanh(),\n")},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _MLP.format(layer="", first=_TWO, more="")},
            "insert-layer@a:MLP.__init__/call.Linear.1",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _MLP.format(layer="", first="x = self.fc(x) * 2", more="")},
            "insert-layer@a:MLP.__init__/call.Linear",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _MLP.format(layer="", first="x = F.relu(self.fc(x) + self.fc.bias)", more="")},
            "insert-layer@a:MLP.__init__/call.Linear",
            Reason.SHARED,
        ),
        Refusal(
            {"a.py": _NET.format(more=""), "b.py": "def load(model):\n    model.to_empty(device='cpu')\n"},
            "insert-layer@a:/call.Linear",
            Reason.UNKNOWN_VALUE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every linear layer whose output goes through an activation; there is nothing to choose."""
        if not site.label.endswith("Linear") or layer_of(graph, site) != "Linear":
            return Reason.NO_SITE
        if {use for _, use in sizes_of(graph, site)} != {Use.IN, Use.OUT}:
            return Reason.UNKNOWN_VALUE
        if attribute_of(graph, site) and len(only_called(graph, site)) != 1:
            return Reason.SHARED
        if _next_element(graph, site) is None and _place(graph, site) is None:
            return Reason.NO_SITE
        return refuses_weights(graph) or NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Insert the elements, or make the layer and run it."""
        activation = _next_element(graph, site)
        if activation is not None:
            return _in_sequential(graph, site, activation)
        place, made = _place(graph, site), graph.statement(site)
        if place is None or made is None:
            return ()
        owner = graph.nodes[site.scope].scope
        name = free_name(graph, owner, f"{attribute_of(graph, site)}_2")
        runs = place.text.replace(place.call, f"self.{name}({place.variable})")
        return (InsertStmt(made, f"self.{name} = {_square(graph, site)}"), InsertStmt(place.last, runs))


class _Place(NamedTuple):
    """Where `forward` runs a layer and its activation: the last statement of it, all its text, the call and the name that is bound."""

    last: Node
    text: str
    call: str
    variable: str


def _place(graph: CodeGraph, site: Node) -> _Place | None:
    """Find `x = act(self.fc(x))`, or `x = self.fc(x)` with `x = act(x)` behind it."""
    calls = only_called(graph, site)
    made, function = graph.statement(site), graph.nodes[site.scope]
    statement = statement_at(graph, site.path, calls[0].start_byte) if len(calls) == 1 else None
    bound = _bound(graph, statement) if statement is not None else None
    if (
        statement is None
        or bound is None
        or made is None
        or graph.parent(made) != function
        or function.label != "__init__"
    ):
        return None
    name, value = bound
    if value != calls[0]:
        nested = innermost(graph, site.path, value) == calls[0]
        return _Place(statement, graph.text(statement), text_of(calls[0]), name) if nested else None
    behind = following(graph, statement)
    after = _bound(graph, behind) if behind is not None else None
    inner = innermost(graph, site.path, after[1]) if after is not None and after[1].type == "call" else None
    if behind is None or after is None or inner is None or after[0] != name or text_of(inner) != name:
        return None
    return _Place(behind, f"{name} = {text_of(value)}\n{graph.text(behind)}", text_of(value), name)


def _bound(graph: CodeGraph, statement: Node) -> tuple[str, SyntaxNode] | None:
    """Return name and value of `name = value`."""
    syntax = graph.syntax(statement) if statement.label not in ("if", "for", "while", "with", "try") else None
    while syntax is not None and syntax.type == "expression_statement":
        syntax = parts(syntax)[0]
    if syntax is None or syntax.type != "assignment":
        return None
    left, right = field_of(syntax, "left"), syntax.child_by_field_name("right")
    return (text_of(left), right) if left.type == "identifier" and right is not None else None


def _square(graph: CodeGraph, site: Node) -> str:
    """Return the layer again, with the width that it gives as the width that it takes."""
    sizes = {use: expression for expression, use in sizes_of(graph, site)}
    start, end = sizes[Use.IN].start_byte - site.start, sizes[Use.IN].end_byte - site.start
    text = graph.text(site).encode()
    return (text[:start] + (sizes[Use.OUT].text or b"") + text[end:]).decode()


# --- in a Sequential --------------------------------------------------------------------------------------------------------------------


def _next_element(graph: CodeGraph, site: Node) -> SyntaxNode | None:
    """Return the activation that stands behind a layer in a Sequential."""
    outer = graph.parent(site)
    if outer is None or outer.kind is not NodeKind.CALL or graph.callees(outer) != ("torch.nn.Sequential",):
        return None
    given = parts(field_of(graph.syntax(outer), "arguments"))
    behind = next((after for one, after in pairwise(given) if one.start_byte == site.start), None)
    return behind if behind is not None and makes_activation(graph, site.path, behind) else None


def _in_sequential(graph: CodeGraph, site: Node, activation: SyntaxNode) -> tuple[Intent, ...]:
    """Write the Sequential again with two more elements, each on a line of its own where the activation is."""
    outer = graph.parent(site)
    if outer is None:  # an element of a Sequential stands in it
        return ()
    data = graph.snapshot.files[site.path]
    line = data[data.rfind(b"\n", 0, activation.start_byte) + 1 : activation.start_byte]
    gap = b",\n" + line if not line.strip() else b", "
    more = gap + _square(graph, site).encode() + gap + (activation.text or b"")
    text = data[outer.start : activation.end_byte] + more + data[activation.end_byte : outer.end]
    return (ReplaceExpr(outer, text.decode()),)


KIND = InsertLayer()
