"""set-choice: put another member of a closed set of strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.choices import other_strings, string_value
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.facts import places_things
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import off_the_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_WINDOWS = """class GPT:
    def windows(self, config):
        pattern = config.window_pattern.upper()
        assert all(c in "SL" for c in pattern)
        return [pattern[i % len(pattern)] for i in range(config.n_layer)]


WINDOW_PATTERN = "{}" # sliding window pattern: L=full, S=half context
"""
_NORMS = """def make_norm(kind_of_norm: str):
    if kind_of_norm == "layer":
        return LayerNorm
    elif kind_of_norm == "rms":
        return RMSNorm
"""


class SetChoice(EditKind):
    """Set a string to another member of the closed set that it comes from.

    The set is read from the choices of an option, a `Literal[...]` annotation, the comparisons with the same name, or a known signature
    (`approximate`, `nonlinearity`, `mode` of an initialisation). Of a string over an alphabet that the sources assert, such as the window
    pattern "SSSL", the options are those one insertion, deletion or substitution away.
    Why: "SSSL" -> "SSSSL" is a kept edit of the best public run of karpathy/autoresearch. Not offered: devices, precision, data, files and
    names, how a loss is reduced (it may be the metric), and strings whose set is not known.
    """

    name = "set-choice"
    family = Family.LITERAL
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"train.py": _WINDOWS.format("SSSL")},
            "set-choice@train:/literal.WINDOW_PATTERN?to=SSSSL",
            {"train.py": _WINDOWS.format("SSSSL")},
        ),
        Example(
            {"layers.py": _NORMS, "config.py": "class Config:\n    kind_of_norm: str = 'layer'\n"},
            "set-choice@config:Config/literal.kind_of_norm?to=rms",
            {"config.py": "class Config:\n    kind_of_norm: str = 'rms'\n"},
        ),
        Example(
            {"a.py": "import torch.nn as nn\nact = nn.GELU(approximate='tanh')\n"},
            "set-choice@a:/literal.approximate?to=none",
            {"a.py": "import torch.nn as nn\nact = nn.GELU(approximate='none')\n"},
        ),
        Example(
            {"a.py": "parser.add_argument('--norm', default=\"pre\", choices=['pre', 'post'])\n"},
            "set-choice@a:/literal.default?to=post",
            {"a.py": "parser.add_argument('--norm', default=\"post\", choices=['pre', 'post'])\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "name = 'pre'\n"}, "set-choice@a:/literal.name?to=post", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": "lr = 0.1\n"}, "set-choice@a:/literal.lr?to=post", Reason.NO_SITE),
        Refusal(
            {
                "a.py": "def f(x, reduction='mean'):\n    if reduction == 'mean' or reduction == 'sum':\n        return x\n"
            },
            "set-choice@a:f/literal.reduction?to=sum",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": "import torch.nn as nn\nact = nn.GELU(approximate='tanh')\n"},
            "set-choice@a:/literal.approximate?to=erf",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": "def evaluate(norm='pre'):\n    return norm == 'pre' or norm == 'post'\n"},
            "set-choice@a:evaluate/literal.norm?to=post",
            Reason.PROTECTED,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The other members of the set."""
        if not string_value(graph.text(site)):
            return Reason.NO_SITE
        others = other_strings(graph, site)
        if not others or places_things(graph, site):
            return Reason.UNKNOWN_VALUE
        return off_the_path(graph, site) or choose(to=others)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the other string in the author's quotes."""
        old = graph.text(site)
        return (ReplaceExpr(site, f"{old[0]}{choice['to']}{old[-1]}"),)


KIND = SetChoice()
