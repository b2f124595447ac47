"""swap-statements: exchange two neighbouring statements whose order matters and may be either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.effects import exchanged, names_of, next_statement
from mutator.facts import calls_in
from mutator.intents import Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.updates import learns, self_update, serves

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYWORDS = frozenset(
    {"if", "for", "while", "with", "try", "return", "assert", "expression", "raise", "print", "elif", "else"}
)
_NET = """\
import torch.nn.functional as F
from torch import nn
class MLP(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc, self.norm = nn.Linear(n, n), nn.LayerNorm(n)
    def forward(self, x):
{body}
        return x
"""
_HEAD, _ACT, _NORM = "        h = 2\n", "        x = F.gelu(x)\n", "        x = self.norm(x)"
_ATTEND = """\
import torch.nn.functional as F
def norm(x):
    return F.rms_norm(x, (4,))
def apply_rope(x, cos):
    return x * cos
def attend(q, k, cos):
    {first}
    {second}
    return q @ k.mT
"""
_QK_NORM, _ROPE = "q, k = norm(q), norm(k)", "q, k = apply_rope(q, cos), apply_rope(k, cos)"
_STEP = "import torch\nopt = torch.optim.SGD(ps)\nsched = torch.optim.lr_scheduler.StepLR(opt, 10)\nfor x in data:\n    f(x).backward()\n"


class SwapStatements(EditKind):
    """Exchange two neighbouring self-updates of one name, such as an activation and a normalisation, or rotary positions and QK-norm.

    Why: whether one normalises before or after is an open question at every such place. Only pairs that stay bound and keep every shape in
    either order. Not offered: residual sublayers (swap-sublayers says it), pairs of plain factors, which commute, and statements that
    are independent, which would change nothing; the order of backward, clip and step is no choice.
    """

    name = "swap-statements"
    family = Family.DELETE
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _NET.format(body=_HEAD + _ACT + _NORM)},
            "swap-statements@a:MLP.forward/stmt.x",
            {"a.py": _NET.format(body=_HEAD + _NORM + "\n" + _ACT[:-1])},
        ),
        Example(
            {"a.py": _NET.format(body="        # mix\n        x = self.fc(x)  # (B, T, C)\n        x = x.tanh()")},
            "swap-statements@a:MLP.forward/stmt.x",
            {"a.py": _NET.format(body="        x = x.tanh()\n        # mix\n        x = self.fc(x)  # (B, T, C)")},
        ),
        Example(
            {"a.py": _ATTEND.format(first=_QK_NORM, second=_ROPE)},
            "swap-statements@a:attend/stmt.unpack",
            {"a.py": _ATTEND.format(first=_ROPE, second=_QK_NORM)},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _NET.format(body=_HEAD + _ACT + _NORM)}, "swap-statements@a:MLP.forward/stmt.x.1", Reason.ORDER
        ),
        Refusal({"a.py": _NET.format(body=_ACT + _ACT)}, "swap-statements@a:MLP.forward/stmt.x", Reason.NO_EFFECT),
        Refusal(
            {"a.py": _NET.format(body="        x = x * 2\n        x = x / 3")},
            "swap-statements@a:MLP.forward/stmt.x",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"a.py": _STEP + "    opt.step()\n    opt.zero_grad()\n"}, "swap-statements@a:/stmt.step", Reason.NO_SITE
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every self-update that is followed by another one of the same names; there is nothing to choose."""
        if (
            site.label in _KEYWORDS
            or graph.nodes[site.scope].kind is NodeKind.CLASS
            or next(calls_in(graph, site), None) is None
        ):
            return self._plain(graph, site)
        update, second = self_update(graph, site), next_statement(graph, site)
        if update is None or serves(graph, site):
            return Reason.NO_SITE
        other = self_update(graph, second) if second is not None and second.label == site.label else None
        if second is None or other is None or other.names != update.names:
            return Reason.ORDER
        if graph.text(site) == graph.text(second) or (update.scalar and other.scalar):
            return Reason.NO_EFFECT
        both_layers = update.residual and other.residual and learns(graph, site) and learns(graph, second)
        return Reason.NO_SITE if both_layers or names_of(graph, site, second).odd else NOTHING_TO_CHOOSE

    def _plain(self, graph: CodeGraph, site: Node) -> Reason:
        """Return why a statement without a call is no site: factors commute."""
        update = None if site.label in _KEYWORDS else self_update(graph, site)
        return Reason.NO_SITE if update is None else Reason.NO_EFFECT

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Put each in the place of the other."""
        second = next_statement(graph, site)
        return () if second is None else exchanged(graph, site, second)


KIND = SwapStatements()
