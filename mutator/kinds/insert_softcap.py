"""insert-softcap: keep logits between two bounds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import text_of
from mutator.callees import spell
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.facts import is_torch_module
from mutator.intents import InsertStmt, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.modules import heads_of
from mutator.tensors import assigned

if TYPE_CHECKING:
    from collections.abc import Mapping

_CAPS = Between(1.0, 100.0, (10.0, 15.0, 30.0))
_NET = """\
import torch
import torch.nn.functional as F
from torch import nn
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
    def forward(self, idx, targets=None):
        x = self.wte(idx)
        {body}
"""
_BOTH = """\
if targets is None:
            return self.lm_head(x[:, [-1], :])
        logits = self.lm_head(x)  # (B, T, vocab_size){cap}
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))"""
_IMPORTS = "import torch.nn.functional as F\nfrom torch import nn\nimport torch\n"
_SITE = "insert-softcap@a:GPT.forward?cap=15.0"


class InsertSoftcap(EditKind):
    """Bound the logits of a language model smoothly: `cap * tanh(logits / cap)`, in training as in evaluation.

    Why: no logit can run away, which stands in for weight decay of the head at high learning rates. Source: Gemma 2, 2024
    (arXiv:2408.00118), section 2, with 30. Every call of the head in `forward` is capped. Not offered for the logits of an attention, which
    fused kernels compute, nor beside another tanh.
    """

    name = "insert-softcap"
    family = Family.INSERT
    at = NodeKind.FUNCTION
    examples = (
        Example(
            {"a.py": _NET.format(body=_BOTH.format(cap=""))},
            _SITE,
            {
                "a.py": _NET.format(
                    body=_BOTH.format(cap="\n        logits = 15.0 * torch.tanh(logits / 15.0)").replace(
                        "self.lm_head(x[:, [-1], :])", "15.0 * torch.tanh(self.lm_head(x[:, [-1], :]) / 15.0)"
                    )
                )
            },
        ),
        Example(
            {"a.py": _NET.format(body="return self.lm_head(x)")},
            "insert-softcap@a:GPT.forward?cap=30.0",
            {"a.py": _NET.format(body="return 30.0 * torch.tanh(self.lm_head(x) / 30.0)")},
        ),
        Example(
            {
                "a.py": _NET.replace("import torch\n", "").format(
                    body="logits = self.lm_head(x).float()\n        return logits"
                )
            },
            _SITE,
            {
                "a.py": _NET.replace(
                    "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n", _IMPORTS
                ).format(
                    body="logits = self.lm_head(x).float()\n        logits = 15.0 * torch.tanh(logits / 15.0)\n        return logits"
                )
            },
        ),
    )
    refusals = (
        Refusal({"a.py": _NET.format(body="return torch.tanh(self.lm_head(x) / 9) * 9")}, _SITE, Reason.ALREADY),
        Refusal({"a.py": _NET.format(body="return x")}, _SITE, Reason.NO_SITE),
        Refusal({"a.py": _NET.format(body="return self.lm_head(x)")}, "insert-softcap@a:GPT.forward?cap=0.5", Reason.NO_CHOICE),
        Refusal({"a.py": _NET.format(body="return self.lm_head(x)")}, "insert-softcap@a:GPT.__init__?cap=15.0", Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How far the logits may go, in a `forward` that calls a head."""
        if (
            site.label != "forward"
            or not site.scope
            or not is_torch_module(graph, site.scope)
            or not heads_of(graph, site)
        ):
            return Reason.NO_SITE
        capped = re.search(r"tanh|soft_?cap", graph.text(graph.nodes[site.scope]), re.IGNORECASE)
        return Reason.ALREADY if capped else choose(cap=_CAPS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Cap in a statement of its own behind `logits = self.head(x)`, else where the head is called."""
        tanh, imports = spell(graph, site, "torch.tanh")
        intents: list[Intent] = [*imports]
        for call in heads_of(graph, site):
            statement, cap = graph.statement(call), choice["cap"]
            value = assigned(graph, statement) if statement is not None else None
            rest = text_of(value).removeprefix(graph.text(call)) if value is not None else None
            if statement is not None and rest is not None and re.fullmatch(r"(\.\w+\([^()]*\))*", rest):
                x = statement.label
                intents.append(InsertStmt(statement, f"{x} = {cap} * {tanh}({x} / {cap})"))
            else:
                intents.append(ReplaceExpr(call, f"{cap} * {tanh}({graph.text(call)} / {cap})"))
        return tuple(intents)


KIND = InsertSoftcap()
