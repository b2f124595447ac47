"""set-literal: give a number whose meaning is known another value of its trade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.assertions import breaks_assertion
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused
from mutator.number_roles import Role, role_of_number, values_for
from mutator.numbers import is_int, is_number, not_a_quantity, value_of, written

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIMIZER = "    groups = [\n        dict(kind='adamw', params=head, lr=lr, betas=(0.8, 0.95), eps=1e-10, weight_decay={}),\n    ]\n"


class SetLiteral(EditKind):
    """Set a number to a value of its role.

    Roles: learning rate, weight decay, betas, dropout, warm-up, final fraction, clipping, epsilon, initialisation, rotary base, soft cap,
    accumulation, depth, aspect ratio and the like.
    Why: half of the kept edits of the best public run of karpathy/autoresearch set a number that no factor reaches: warm-down 0.5 -> 0.75,
    final learning rate 0.0 -> 0.05, weight decay 0.0 -> 0.01, aspect ratio 64 -> 57. The role is read from the name of the field, constant,
    option, key or parameter; the grid holds its neighbours, and any value between the ends of the role is accepted.
    Not offered: numbers whose name does not tell, the smoothing of a loss that may be the metric, and what would make an assert fail.
    """

    name = "set-literal"
    family = Family.LITERAL
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"train.py": "WARMDOWN_RATIO = 0.5    # fraction of time budget for LR warmdown\n"},
            "set-literal@train:/literal.WARMDOWN_RATIO?to=0.7",
            {"train.py": "WARMDOWN_RATIO = 0.7    # fraction of time budget for LR warmdown\n"},
        ),
        Example(
            {"train.py": f"def setup(head, lr):\n{_OPTIMIZER.format('0.0')}    return groups\n"},
            "set-literal@train:setup/literal.weight_decay?to=0.01",
            {"train.py": f"def setup(head, lr):\n{_OPTIMIZER.format('0.01')}    return groups\n"},
        ),
        Example(
            {"a.py": "ADAM_BETAS = (0.8, 0.95) # Adam beta1, beta2\n"},
            "set-literal@a:/literal.ADAM_BETAS.1?to=0.99",
            {"a.py": "ADAM_BETAS = (0.8, 0.99) # Adam beta1, beta2\n"},
        ),
        Example(
            {"model.py": "def rotary(seq_len, head_dim, base=10000):\n    return base\n"},
            "set-literal@model:rotary/literal.base?to=200000",
            {"model.py": "def rotary(seq_len, head_dim, base=200000):\n    return base\n"},
        ),
        Example(
            {"a.py": "parser.add_argument('--weight-decay', type=float, default=1e-1)\n"},
            "set-literal@a:/literal.default?to=0.15",
            {"a.py": "parser.add_argument('--weight-decay', type=float, default=1.5e-1)\n"},
        ),
        Example(
            {"a.py": "groups = [{'params': ps, 'weight_decay': 0.0}]\n"},
            "set-literal@a:/literal.entry.2?to=0.1",
            {"a.py": "groups = [{'params': ps, 'weight_decay': 0.1}]\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "scale = 0.5\n"}, "set-literal@a:/literal.scale?to=0.7", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": "dropout = 0.0\n"}, "set-literal@a:/literal.dropout?to=0.95", Reason.NO_CHOICE),
        Refusal({"a.py": "seed = 3\n"}, "set-literal@a:/literal.seed?to=4", Reason.NO_QUANTITY),
        Refusal({"a.py": "dropout = 0.1\n"}, "set-literal@a:/literal.dropout?to=0.1", Reason.NO_EFFECT),
        Refusal(
            {"a.py": "import torch.nn.functional as F\ny = F.cross_entropy(x, t, label_smoothing=0.1)\n"},
            "set-literal@a:/literal.label_smoothing?to=0.05",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal({"a.py": "def evaluate(model, ema=0.9): ...\n"}, "set-literal@a:evaluate/literal.ema?to=0.95", Reason.PROTECTED),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The values of the number's role."""
        if not is_number(graph.text(site)):
            return Reason.NO_SITE
        role = role_of_number(graph, site)
        reason = not_a_quantity(graph, site)
        if role is None or reason is not None:
            return reason or Reason.UNKNOWN_VALUE
        values = values_for(role, graph.text(site))
        grid = tuple(value for value in values.grid if not _fails(graph, site, role, float(value)))
        return choose(to=Between(values.low, values.high, grid)) if grid else Reason.ASSERTION

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the value in the author's format.

        Raises: Refused: it is the value that is there, or makes an assert fail.
        """
        old, value = graph.text(site), choice["to"]
        if value == value_of(old):
            raise Refused(Reason.NO_EFFECT, f"{site.slot}: is {old} already")
        role = role_of_number(graph, site)
        if role is not None and _fails(graph, site, role, float(value)):
            raise Refused(Reason.ASSERTION, f"{site.slot}: with {value} an assert of the sources fails")
        return (ReplaceExpr(site, _text(float(value), old, whole=isinstance(value, int))),)


def _fails(graph: CodeGraph, site: Node, role: Role, value: float) -> bool:
    return is_int(graph.text(site)) and role.whole is True and breaks_assertion(graph, site, str(round(value)))


def _text(value: float, old: str, *, whole: bool) -> str:
    return written(value, old) if whole or not is_int(old) else written(value, "0.0")


KIND = SetLiteral()
