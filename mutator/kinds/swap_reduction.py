"""swap-reduction: reduce dimensions in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import Call, read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of
from mutator.arithmetic import Sort, purpose_of, sort_of_syntax
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, RenameCallee
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_REDUCTIONS = ("mean", "sum", "amax")
_TAKEN = frozenset({"", "dim", "axis", "keepdim"})
_POOL = """import torch.nn as nn

class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        h = self.stem(x){}
        return self.head(h)
"""


class SwapReduction(EditKind):
    """Swap mean, sum and amax over given dimensions of a float tensor; the rank and the shape stay.

    Why: pooling and normalising statistics (the second moment of an optimizer, the squares of a norm) are one reduction from a variant.
    Source: reduce.swap of the grammar, torch.Tensor.mean, sum, amax. Not offered: reductions of everything, which losses use, tensors that
    may hold whole numbers, and what is measured or reported.
    """

    name = "swap-reduction"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _POOL.format(".mean(dim=1)")},
            "swap-reduction@a:Classifier.forward/call.mean?to=amax",
            {"a.py": _POOL.format(".amax(dim=1)")},
        ),
        Example(
            {"a.py": "import torch\nrms = torch.mean(torch.square(x), dim=-1, keepdim=True)  # statistics\n"},
            "swap-reduction@a:/call.mean?to=sum",
            {"a.py": "import torch\nrms = torch.sum(torch.square(x), dim=-1, keepdim=True)  # statistics\n"},
        ),
        Example(
            {"a.py": "import torch\ng = torch.exp(x)\nv = g.float().square().sum(dim=(-2, -1), keepdim=True).sqrt()\n"},
            "swap-reduction@a:/call.sum?to=mean",
            {
                "a.py": "import torch\ng = torch.exp(x)\nv = g.float().square().mean(dim=(-2, -1), keepdim=True).sqrt()\n"
            },
        ),
    )
    refusals = (
        Refusal({"a.py": "import torch\ny = torch.exp(x).mean()\n"}, "swap-reduction@a:/call.mean?to=sum", Reason.ARITY),
        Refusal({"a.py": "y = mask.sum(dim=1)\n"}, "swap-reduction@a:/call.sum?to=mean", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": "import torch\nloss = torch.exp(x).mean(dim=1)\n"}, "swap-reduction@a:/call.mean?to=sum", Reason.CONTRACT),
        Refusal({"a.py": "y = sum(xs, 1)\n"}, "swap-reduction@a:/call.sum?to=mean", Reason.NO_SITE),
        Refusal({"a.py": "import torch\ny = torch.exp(x).sum(dim=1, dtype=t)\n"}, "swap-reduction@a:/call.sum?to=mean", Reason.ARITY),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other reductions, at every reduction over given dimensions of a float tensor."""
        if site.label not in _REDUCTIONS:
            return Reason.NO_SITE
        call = read_call(graph, site)
        if "." not in call.function:
            return Reason.NO_SITE
        given = len(call.arguments) - _of_module(graph, site)
        if given < 1 or any(a.name not in _TAKEN for a in call.arguments):
            return Reason.ARITY
        reason = purpose_of(graph, site)
        if reason is not None and not (reason is Reason.NO_QUANTITY and site.role in ("element", "statement")):
            return reason
        return (
            choose(to=[name for name in _REDUCTIONS if name != site.label])
            if _of_floats(graph, site, call)
            else Reason.UNKNOWN_VALUE
        )

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Call the other reduction with the same arguments."""
        return (RenameCallee(site, f"{read_call(graph, site).function.rpartition('.')[0]}.{choice['to']}"),)


def _of_module(graph: CodeGraph, site: Node) -> bool:
    """Whether the tensor is an argument: `torch.mean(x, dim=1)`."""
    return f"torch.{site.label}" in graph.callees(site)


def _of_floats(graph: CodeGraph, site: Node, call: Call) -> bool:
    syntax = graph.syntax(site)
    function = field_of(syntax, "function")
    reduced = field_of(function, "object")
    if _of_module(graph, site):
        first = next(
            (
                part
                for part in field_of(syntax, "arguments").named_children
                if part.start_byte == call.arguments[0].start
            ),
            None,
        )
        reduced = first if first is not None and not call.arguments[0].name else reduced
    return sort_of_syntax(graph, reduced, site) is Sort.TENSOR


KIND = SwapReduction()
