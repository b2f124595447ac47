"""flip-flag: turn True into False and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.facts import places_things
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTRACTS = frozenset(
    {"is_causal", "causal"}
)  # what the metric assumes of a language model; the scorer's probe would void the trial
_NO_MODEL = re.compile(
    r"log|verbose|wandb|upload|push|save|load|resume|eval_only|compile|strict|async|debug|requires_grad|grad_enabled"
)
_BOOKKEEPING = ("os.", "shutil.", "pathlib.", "json.", "logging.", "builtins.", "subprocess.")
_CONTAINERS = ("builtins.dict.", "builtins.list.append")  # config.get("bias", True): the flag goes on from there


class FlipFlag:
    """Flip a boolean: a field, an argument or a default.

    Why: biases, tied weights, Nesterov momentum and the like are one flag away. Source: kind 4 of the grammar in Stryker's and mutmut's
    tradition, restricted to flags that a model or an optimizer reads. Not offered: causality, which the metric assumes, and what
    logs, saves, uploads or handles files.
    """

    name = "flip-flag"
    examples = (
        Example({"a.py": "bias: bool = True\n"}, "flip-flag@a:/literal.bias", {"a.py": "bias: bool = False\n"}),
        Example(
            {"a.py": "import torch\nopt = torch.optim.SGD(ps, nesterov=False)\n"},
            "flip-flag@a:/literal.nesterov",
            {"a.py": "import torch\nopt = torch.optim.SGD(ps, nesterov=True)\n"},
        ),
        Example(
            {"a.py": "def f(x, tied=True): ...\n"},
            "flip-flag@a:f/literal.tied",
            {"a.py": "def f(x, tied=False): ...\n"},
        ),
        Example(
            {"a.py": "cfg = {}\nnorm = cfg.setdefault('bias', True)\n"},
            "flip-flag@a:/literal.setdefault.1",
            {"a.py": "cfg = {}\nnorm = cfg.setdefault('bias', False)\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "y = attend(q, k, v, is_causal=True)\n"}, "flip-flag@a:/literal.is_causal", Reason.NO_SITE),
        Refusal({"a.py": "upload_to_hub = False\n"}, "flip-flag@a:/literal.upload_to_hub", Reason.NO_SITE),
        Refusal({"a.py": "while True:\n    break\n"}, "flip-flag@a:/literal.while", Reason.NO_SITE),
        Refusal(
            {"a.py": "import os\nos.makedirs(p, exist_ok=True)\n"}, "flip-flag@a:/literal.exist_ok", Reason.NO_SITE
        ),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every boolean that sets something."""
        return (
            node
            for node in graph.of_kind(NodeKind.LITERAL)
            if graph.text(node) in ("True", "False") and _sets_something(graph, node)
        )

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """There is one other value."""
        return ((),)

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Replace the boolean by the other one."""
        return (ReplaceExpr(site, "False" if graph.text(site) == "True" else "True"),)


def _sets_something(graph: CodeGraph, node: Node) -> bool:
    roles = ("value", "argument", "default", "positional")
    if node.role not in roles or node.label in _CONTRACTS or _NO_MODEL.search(node.label) or places_things(graph, node):
        return False
    outer = graph.parent(node)
    return (
        outer is None
        or outer.kind is not NodeKind.CALL
        or not any(c.startswith(_BOOKKEEPING) and not c.startswith(_CONTAINERS) for c in graph.callees(outer))
    )
