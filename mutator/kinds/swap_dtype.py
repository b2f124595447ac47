"""swap-dtype: compute in another precision."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import Argument
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import argument_of, runs_only
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.intents import Intent, ReplaceExpr, SetArg, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_AUTOCASTS = frozenset({"torch.autocast", "torch.amp.autocast", "torch.cuda.amp.autocast"})
_MATMUL = "torch.set_float32_matmul_precision"
_PRECISIONS = ("medium", "high", "highest")
_CAST = re.compile(rb"\.(bfloat16|half)\(\)|\.to\([^()\n]*\b(bfloat16|float16|half)\b")
_AMP = """\
import torch
scaler = torch.amp.GradScaler()
with torch.autocast("cuda", dtype=torch.{dtype}):
    loss = model(x)
scaler.scale(loss).backward()
"""


class SwapDtype(EditKind):
    """Swap the precision of an autocast, or that of float32 matrix products on tensor cores.

    Why: lower precision buys steps, higher precision buys them back at the same loss. Source: Micikevicius et al. 2018 (arXiv:1710.03740).
    float16 underflows without a gradient scaler, so it is offered beside one only; no autocast at all (float32) only where nothing casts to
    half precision by itself. Not offered where a name says the dtype: turn what it is set to.
    """

    name = "swap-dtype"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _AMP.format(dtype="float16")},
            "swap-dtype@a:/call.autocast?to=bfloat16",
            {"a.py": _AMP.format(dtype="bfloat16")},
        ),
        Example(
            {"a.py": 'import torch\nctx = torch.amp.autocast(device_type="cuda", dtype=torch.bfloat16)\n'},
            "swap-dtype@a:/call.autocast?to=float32",
            {
                "a.py": 'import torch\nctx = torch.amp.autocast(device_type="cuda", dtype=torch.bfloat16, enabled=False)\n'
            },
        ),
        Example(
            {"a.py": 'import torch\ntorch.set_float32_matmul_precision("high")\n'},
            "swap-dtype@a:/call.set_float32_matmul_precision?to=medium",
            {"a.py": 'import torch\ntorch.set_float32_matmul_precision("medium")\n'},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "import torch\nctx = torch.autocast('cuda', dtype=torch.bfloat16)\n"},
            "swap-dtype@a:/call.autocast?to=float16",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": "import torch\nctx = torch.autocast('cuda', dtype=dtype)\n"},
            "swap-dtype@a:/call.autocast?to=bfloat16",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {
                "a.py": "import torch\nctx = torch.autocast('cuda', torch.bfloat16)\nmodel.wte.to(dtype=torch.bfloat16)\n"
            },
            "swap-dtype@a:/call.autocast?to=float32",
            Reason.NO_EFFECT,
        ),
        Refusal({"a.py": "autocast()\n"}, "swap-dtype@a:/call.autocast?to=float32", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The precisions that the code around can live with, where a literal says the one in use."""
        if site.label not in ("autocast", "set_float32_matmul_precision"):
            return Reason.NO_SITE
        path = runs_only(graph, site)
        given = _given(graph, site)
        if path == _MATMUL:
            now = given.value.strip("'\"") if given is not None else ""
            return choose(to=[p for p in _PRECISIONS if p != now]) if now in _PRECISIONS else Reason.UNKNOWN_VALUE
        if path not in _AUTOCASTS:
            return Reason.NO_SITE
        now = given.value.removeprefix("torch.") if given is not None else ""
        if now not in ("float16", "bfloat16"):
            return Reason.UNKNOWN_VALUE
        files = graph.files.values()
        fits = ["bfloat16"] if now == "float16" else []
        fits += ["float16"] if now == "bfloat16" and any(b"GradScaler(" in file.data for file in files) else []
        fits += (
            []
            if any(_CAST.search(file.data) for file in files) or argument_of(graph, site, "enabled", -1)
            else ["float32"]
        )
        return choose(to=fits) if fits else Reason.NO_EFFECT

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the other literal; float32 is an autocast that is off."""
        to, given = str(choice["to"]), _given(graph, site)
        if given is None:
            return ()
        if to == "float32":
            return (SetArg(site, "enabled", "False"),)
        quote = given.value[0]
        text = f"{quote}{to}{quote}" if quote in "'\"" else f"torch.{to}"
        end = given.value_start + len(given.value.encode())
        return (ReplaceExpr(Span(site.path, given.value_start, end), text),)


def _given(graph: CodeGraph, call: Node) -> Argument | None:
    matmul = call.label != "autocast"
    return argument_of(graph, call, "precision" if matmul else "dtype", 0 if matmul else 1)


KIND = SwapDtype()
