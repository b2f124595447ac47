"""flip-flag: turn True into False and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.facts import places_things
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import name_of, off_the_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROLES = ("value", "argument", "default", "positional", "entry")
_CONTRACTS = re.compile(
    r"causal|is_training|^train(ing)?$|attend_to_future|bidirectional|^mask|shift"
)  # what the metric assumes
_NO_MODEL = re.compile(
    r"log|verbose|wandb|upload|push|save|load|resume|eval|compile|strict|async|debug|requires_grad|grad_enabled|persistent|dynamic|fullgraph"
    r"|non_blocking|pin_memory|set_to_none|tf32|benchmark|determinis|flush|(exist|missing)_ok|return_|output_|weights_only|profil|print|master|rank"
    r"|ddp|fsdp|dist|device|cuda|fused|foreach|capturable|jit|flash|cache|inplace|plot|seed|download|trust|remote|skip_special|add_(bos|eos|special)"
    r"|done|finished|completed|found|first|header|recursive|reverse|sort|parents|shell|check|text|daemon|required|action|store_|replace|force|dry"
    r"|success|error|timeout|exceeded|warn|is_small|last_|fast_accum|real_data|^record|^with_|contiguous|^has_|use_dict|^write_|shuffle_files"
    r"|stack|retain|create_graph|once|ready|sync|in_python|index|only$|append|prepend"
)
_SHAPES = re.compile(
    r"batch_first|bidirectional|keepdim|ceil_mode|concat|transpose|squeeze|is_moe|separate|packed|interleave|channels|double|glu|gated"
)
_BOOKKEEPING = (
    "os.",
    "shutil.",
    "pathlib.",
    "json.",
    "logging.",
    "builtins.",
    "subprocess.",
    "torch.load",
    "torch.save",
    "numpy.",
    "torch.compile",
)
_CONTAINERS = (
    "builtins.dict.",
    "builtins.dict",
    "builtins.list.append",
)  # config.get("bias", True): the flag goes on from there


class FlipFlag(EditKind):
    """Flip a boolean: a field, an argument, a default or an entry of a dictionary.

    Why: biases, tied weights, Nesterov momentum and the like are one flag away. Source: kind 4 of the grammar in Stryker's and mutmut's
    tradition, restricted to flags that a model or an optimizer reads. Not offered: causality and the training mode, which the metric
    assumes; what logs, saves, compiles or handles files; flags that change shapes; local states of a function; new biases where the model
    is made without memory (`to_empty`) and its own initialisation would leave them undefined.
    """

    name = "flip-flag"
    family = Family.LITERAL
    at = NodeKind.LITERAL
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
        Example(
            {
                "a.py": "from dataclasses import dataclass\n\n@dataclass\nclass Config:\n    qk_norm: bool = False  # queries and keys\n"
            },
            "flip-flag@a:Config/literal.qk_norm",
            {
                "a.py": "from dataclasses import dataclass\n\n@dataclass\nclass Config:\n    qk_norm: bool = True  # queries and keys\n"
            },
        ),
    )
    refusals = (
        Refusal({"a.py": "y = attend(q, k, v, is_causal=True)\n"}, "flip-flag@a:/literal.is_causal", Reason.CONTRACT),
        Refusal({"a.py": "upload_to_hub = False\n"}, "flip-flag@a:/literal.upload_to_hub", Reason.NO_EFFECT),
        Refusal({"a.py": "while True:\n    break\n"}, "flip-flag@a:/literal.while", Reason.NO_QUANTITY),
        Refusal({"a.py": "import os\nos.makedirs(p, mode=True)\n"}, "flip-flag@a:/literal.mode", Reason.NO_EFFECT),
        Refusal({"a.py": "layer = LSTM(8, 8, batch_first=True)\n"}, "flip-flag@a:/literal.batch_first", Reason.SHAPE),
        Refusal(
            {"a.py": "import torch.nn as nn\nlayer = nn.Linear(8, 8, bias=False)\nlayer.to_empty(device='cpu')\n"},
            "flip-flag@a:/literal.bias",
            Reason.UNKNOWN_VALUE,
        ),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every boolean that sets something; there is one other value."""
        text = graph.text(site)
        if text not in ("True", "False"):
            return Reason.NO_SITE
        if site.role not in _ROLES or places_things(graph, site):
            return Reason.NO_QUANTITY
        name = name_of(graph, site).lower()
        if _CONTRACTS.search(name):
            return Reason.CONTRACT
        if _SHAPES.search(name):
            return Reason.SHAPE
        if _NO_MODEL.search(name) or _keeps_books(graph, site):
            return Reason.NO_EFFECT
        if not name or _is_state(graph, site) or ("bias" in name and text == "False" and _without_memory(graph)):
            return Reason.UNKNOWN_VALUE
        if name == "shuffle" and _sampled(graph, site):
            return Reason.ARITY
        return off_the_path(graph, site) or NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Replace the boolean by the other one."""
        return (ReplaceExpr(site, "False" if graph.text(site) == "True" else "True"),)


def _keeps_books(graph: CodeGraph, site: Node) -> bool:
    """Whether a boolean is an argument of what handles files, processes or logs."""
    outer = graph.parent(site)
    if outer is None or outer.kind is not NodeKind.CALL:
        return False
    if outer.label.startswith(("load", "save", "profile")):
        return True
    return any(c.startswith(_BOOKKEEPING) and not c.startswith(_CONTAINERS) for c in graph.callees(outer))


def _sampled(graph: CodeGraph, site: Node) -> bool:
    """Whether a loader is given a sampler, which excludes shuffling."""
    outer = graph.parent(site)
    call = read_call(graph, outer) if outer is not None and outer.kind is NodeKind.CALL else None
    return call is not None and any(a.name in ("sampler", "batch_sampler") for a in call.arguments)


def _is_state(graph: CodeGraph, site: Node) -> bool:
    """Whether a boolean is what a function remembers while it runs."""
    scope = graph.nodes[site.scope]
    return site.role == "value" and scope.kind is NodeKind.FUNCTION and scope.label != "__init__"


def _without_memory(graph: CodeGraph) -> bool:
    """Whether a model is made on the meta device, so that only what its own code initialises holds numbers."""
    return any(b".to_empty(" in data for data in graph.snapshot.files.values())


KIND = FlipFlag()
