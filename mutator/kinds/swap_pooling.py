"""swap-pooling: pool by the mean instead of the maximum, or the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import runs_only, spell
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.facts import FUNCTIONAL
from mutator.intents import Intent, RenameCallee
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAIRS = [
    pair
    for n in "123"
    for pair in (
        (f"{FUNCTIONAL}.max_pool{n}d", f"{FUNCTIONAL}.avg_pool{n}d"),
        (f"{FUNCTIONAL}.adaptive_max_pool{n}d", f"{FUNCTIONAL}.adaptive_avg_pool{n}d"),
        (f"torch.nn.MaxPool{n}d", f"torch.nn.AvgPool{n}d"),
        (f"torch.nn.AdaptiveMaxPool{n}d", f"torch.nn.AdaptiveAvgPool{n}d"),
    )
]
_OTHER = {**dict(_PAIRS), **{new: old for old, new in _PAIRS}}
_SHARED = frozenset({"", "input", "kernel_size", "stride", "padding", "ceil_mode", "output_size"})


class SwapPooling(EditKind):
    """Swap max pooling and average pooling; the window, stride and padding, which both take, stay.

    Why: the mean keeps gradients to all of a window, the maximum to one; which is better is a matter of depth and resolution.
    Source: Boureau et al. 2010; torch.nn.functional. Not offered with options that only one of them takes (dilation, indices).
    """

    name = "swap-pooling"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": "import torch.nn.functional as F\nx = F.max_pool2d(conv(x), 2, stride=2)\n"},
            "swap-pooling@a:/call.max_pool2d",
            {"a.py": "import torch.nn.functional as F\nx = F.avg_pool2d(conv(x), 2, stride=2)\n"},
        ),
        Example(
            {"a.py": "from torch import nn\nnet = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AvgPool2d(kernel_size=2))\n"},
            "swap-pooling@a:/call.AvgPool2d",
            {"a.py": "from torch import nn\nnet = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(kernel_size=2))\n"},
        ),
        Example(
            {"a.py": "import torch\npool = torch.nn.AdaptiveAvgPool2d((1, 1))\n"},
            "swap-pooling@a:/call.AdaptiveAvgPool2d",
            {"a.py": "import torch\npool = torch.nn.AdaptiveMaxPool2d((1, 1))\n"},
        ),
    )
    refusals = (
        Refusal({"a.py": "x = max_pool2d(x, 2)\n"}, "swap-pooling@a:/call.max_pool2d", Reason.NO_SITE),
        Refusal(
            {"a.py": "from torch import nn\np = nn.MaxPool2d(2, return_indices=True)\n"},
            "swap-pooling@a:/call.MaxPool2d",
            Reason.ARITY,
        ),
        Refusal(
            {"a.py": "from torch import nn\np = nn.MaxPool2d(*size)\n"},
            "swap-pooling@a:/call.MaxPool2d",
            Reason.UNKNOWN_VALUE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Nothing to choose, at every pooling whose arguments both sorts take, by name and by position."""
        if "pool" not in site.label.lower() or runs_only(graph, site) not in _OTHER:
            return Reason.NO_SITE
        read = read_call(graph, site)
        if read.starred:
            return Reason.UNKNOWN_VALUE
        positional = sum(not a.name for a in read.arguments) - site.label.islower()  # a function takes its input too
        fits = positional <= 3 and all(a.name in _SHARED for a in read.arguments)
        return NOTHING_TO_CHOOSE if fits else Reason.ARITY

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Call the other one with the same arguments."""
        text, imports = spell(graph, site, _OTHER[runs_only(graph, site)])
        return (*imports, RenameCallee(site, text))


KIND = SwapPooling()
