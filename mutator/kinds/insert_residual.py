"""insert-residual: add the input of a layer to its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain, OneOf, choose
from mutator.edit import Scalar
from mutator.facts import forward_of_module
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import layer_called, same_size, width_in, width_of
from mutator.tensors import NO_VALUE, adds_to_stream, assigned, call_at, is_nonlinear, is_sublayer

if TYPE_CHECKING:
    from collections.abc import Mapping

_NET = """\
import torch.nn.functional as F
from torch import nn
class MLP(nn.Module):
    def __init__(self, n, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(n, hidden), nn.Linear(hidden, n)
    def forward(self, x):
        {mlp}
class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc, self.out = nn.Linear(n, n), nn.Linear(n, 10)
        self.mlp = MLP(n, 4 * n)
    def forward(self, x):
        {body}
        return x
"""
_MLP = "return self.down(F.gelu(self.up(x)))"
_SITE = "insert-residual@a:Net.forward/stmt.x?scale=1.0"


class InsertResidual(EditKind):
    """Turn `x = f(x)` into `x = x + f(x)` where a layer gives back the shape that it takes.

    Why: gradients reach the input of a deep stack, and a layer only learns what it changes. Source: He et al. 2015 (arXiv:1512.03385).
    Offered for linear layers of equal sizes, with a nonlinearity around them or not, and for modules of ours that only chain linear layers
    and nonlinearities. Not offered for a block that adds its input itself.
    """

    name = "insert-residual"
    family = Family.INSERT
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(mlp=_MLP, body="x = F.relu(self.fc(x))  # (B, n)")},
            _SITE,
            {"a.py": _NET.format(mlp=_MLP, body="x = x + F.relu(self.fc(x))  # (B, n)")},
        ),
        Example(
            {"a.py": _NET.format(mlp=_MLP, body="x = self.mlp(x)")},
            "insert-residual@a:Net.forward/stmt.x?scale=0.5",
            {"a.py": _NET.format(mlp=_MLP, body="x = x + 0.5 * self.mlp(x)")},
        ),
        Example(
            {"a.py": _NET.format(mlp=_MLP, body="x = self.fc(x)\n        x = self.out(x)")},
            _SITE,
            {"a.py": _NET.format(mlp=_MLP, body="x = x + self.fc(x)\n        x = self.out(x)")},
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(mlp=_MLP, body="x = self.out(x)")}, _SITE, Reason.SHAPE),
        Refusal({"a.py": _NET.format(mlp="x += self.down(self.up(x))\n        return x", body="x = self.mlp(x)")}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _NET.format(mlp=_MLP, body="x = x + self.fc(x)")}, _SITE, Reason.NO_SITE),
        Refusal({"a.py": _NET.format(mlp=_MLP, body="y = self.fc(x)")}, "insert-residual@a:Net.forward/stmt.y?scale=1.0", Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """With which weight, at a layer that a name goes through."""
        if site.label in NO_VALUE or not forward_of_module(graph, site):
            return Reason.NO_SITE
        call = _layer_call(graph, site)
        if call is None:
            return Reason.NO_SITE
        if any(adds_to_stream(graph, slot) for slot in graph.callees(call)):
            return Reason.ALREADY
        layer, owner = layer_called(graph, call), graph.nodes[graph.nodes[site.scope].scope]
        if layer is None:
            return Reason.UNKNOWN_VALUE
        before, after = width_in(graph, call), width_of(graph, call)
        return (
            choose(scale=OneOf((1.0, 0.5)))
            if before and after and same_size(graph, owner.slot, before, after)
            else Reason.SHAPE
        )

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Add the name to what it is given."""
        call = call_at(graph, site, assigned(graph, site))
        if call is None:  # the domain said that there is one
            return ()
        weight = "" if choice["scale"] == 1 else f"{choice['scale']} * "
        return (ReplaceExpr(call, f"{site.label} + {weight}{graph.text(call)}"),)


def _layer_call(graph: CodeGraph, statement: Node) -> Node | None:
    """Return the layer of `x = layer(x)` or `x = act(layer(x))`."""
    call = call_at(graph, statement, assigned(graph, statement))
    while call is not None and is_nonlinear(graph, call) and read_call(graph, call).arguments:
        first = read_call(graph, call).arguments[0]
        inner = graph.files[call.path].tree.root_node.descendant_for_byte_range(first.start, first.end)
        call = call_at(graph, statement, inner)
    given = read_call(graph, call).arguments if call is not None and is_sublayer(graph, call) else ()
    return call if len(given) == 1 and given[0].value == statement.label else None


KIND = InsertResidual()
