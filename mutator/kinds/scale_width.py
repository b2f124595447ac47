"""scale-width: widen or narrow the layers that share a width, all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.chains import chains
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.groups import (
    FIXED,
    GROUPS,
    HEAD_DIMS,
    HEADS,
    RATIOS,
    Use,
    fits,
    same_size,
    sibling,
    stated_as,
    uses_of,
    value,
    written_like,
)
from mutator.intents import Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_FACTORS = (0.5, 0.75, 1.25, 1.5, 2.0)
_SMALLEST = 8
_MNIST = """\
import torch
import torch.nn.functional as F
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, {c}, 3, 1)
        self.conv2 = nn.Conv2d({c}, 64, 3, 1)
        self.dropout = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, {h})  # 64 * 12 * 12
        self.fc2 = nn.Linear({h}, 10)
    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = torch.flatten(F.max_pool2d(x, 2), 1)
        x = self.dropout(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)
"""
_GPT = """\
from dataclasses import dataclass
from torch import nn
@dataclass
class Config:
    n_head: int = 6
    n_embd: int = {}
    vocab_size: int = 512
class GPT(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        assert config.n_embd % config.n_head == 0
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd)
model = GPT(Config())
"""
_SEQUENTIAL = (
    "from torch import nn\nnet = nn.Sequential(nn.Linear(4, {h}), nn.Tanh(), nn.LayerNorm({h}), nn.Linear({h}, 1))\n"
)


class ScaleWidth(EditKind):
    """Change a width at all its sites in one edit: the field or constant that states it, or the plain numbers that layers hand on.

    Why: width is what a scaling law turns after depth; one literal cannot, where the number is repeated. Heads keep dividing
    the width, with an even head dimension. Source: Kaplan et al. 2020 (arXiv:2001.08361). Not offered: what the data fixes (inputs,
    classes, vocabulary), and a width that is reshaped, returned or indexed in a way that cannot be followed.
    """

    name = "scale-width"
    family = Family.BLOCK
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"a.py": _MNIST.format(c=32, h=128)},
            "scale-width@a:Net.__init__/literal.Linear.1?to=192",
            {"a.py": _MNIST.format(c=32, h=192)},
        ),
        Example(
            {"a.py": _MNIST.format(c=32, h=128)},
            "scale-width@a:Net.__init__/literal.Conv2d.1?to=16",
            {"a.py": _MNIST.format(c=16, h=128)},
        ),
        Example({"a.py": _GPT.format(384)}, "scale-width@a:Config/literal.n_embd?to=576", {"a.py": _GPT.format(576)}),
        Example(
            {"a.py": _SEQUENTIAL.format(h=64)},
            "scale-width@a:/literal.Linear.1?to=96",
            {"a.py": _SEQUENTIAL.format(h=96)},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _MNIST.format(c=32, h=128)}, "scale-width@a:Net.__init__/literal.Linear?to=4608", Reason.SHAPE
        ),
        Refusal(
            {"a.py": _MNIST.format(c=32, h=128)}, "scale-width@a:Net.__init__/literal.Conv2d.5?to=32", Reason.SHAPE
        ),
        Refusal(
            {"a.py": _MNIST.format(c=32, h=128)}, "scale-width@a:Net.__init__/literal.Linear.2?to=64", Reason.NO_SITE
        ),
        Refusal({"a.py": _GPT.format(384)}, "scale-width@a:Config/literal.vocab_size?to=256", Reason.SHAPE),
        Refusal({"a.py": _GPT.format(384)}, "scale-width@a:Config/literal.n_embd?to=400", Reason.NO_CHOICE),
        Refusal({"a.py": "n_embd = 64\nprint(n_embd)\n"}, "scale-width@a:/literal.n_embd?to=32", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Half to twice the width, in steps that the heads divide."""
        found = _coupled(graph, site)
        if isinstance(found, Reason):
            return found
        old, step = value(graph, site), _step(graph, site)
        near = {max(step, round(old * factor / step) * step) for factor in _FACTORS} - {old}
        grid = tuple(n for n in sorted(near) if n >= _SMALLEST and fits(graph, dict.fromkeys(found, n)))
        return choose(to=Between(step, 4 * old, grid, multiple_of=step)) if grid else Reason.ASSERTION

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the number at every site.

        Raises: Refused: it is the old one, or an assert or a layer fails with it.
        """
        found, new = _coupled(graph, site), int(choice["to"])
        if isinstance(found, Reason) or new == value(graph, site):
            raise Refused(Reason.NO_EFFECT, f"{site.slot}: is {new} already")
        if not fits(graph, dict.fromkeys(found, new)):
            raise Refused(Reason.ASSERTION, f"{site.slot}: with {new} an assert or a layer fails")
        return tuple(written_like(graph, node, new) for node in found)


def _coupled(graph: CodeGraph, site: Node) -> tuple[Node, ...] | Reason:
    """Return the literals that state a width together, at the first of them."""
    text = graph.text(site)
    if not text.replace("_", "").isdigit() or value(graph, site) < _SMALLEST:
        return Reason.NO_SITE
    chain = chains(graph).get((site.path, site.start))
    if chain is not None:
        return chain if chain[0] == site else Reason.NO_SITE
    found = uses_of(graph, site)
    name = stated_as(graph, site)
    if not name:
        return Reason.SHAPE if site.label == "Linear" or site.label.startswith("Conv") else Reason.NO_SITE
    if Use.COUNT in found or (found and FIXED.search(name)):
        return Reason.SHAPE
    if (
        not {Use.IN, Use.OUT} <= found
        or found & {Use.DEPTH, Use.HEADS, Use.STEP}
        or any(p.search(name) for p in (HEADS, GROUPS, HEAD_DIMS, RATIOS))
    ):
        return Reason.NO_SITE
    together = same_size(graph, site)
    return together if min(together, key=lambda n: n.start) == site else Reason.NO_SITE


def _step(graph: CodeGraph, site: Node) -> int:
    """Return what the width stays a multiple of: twice the heads where it is cut into them, else 8, or what divides it."""
    heads = sibling(graph, site, HEADS) if stated_as(graph, site) else None
    old = value(graph, site)
    if heads is not None and old % (2 * value(graph, heads)) == 0:
        return 2 * value(graph, heads)
    return next(step for step in (8, 4, 2, 1) if old % step == 0)


KIND = ScaleWidth()
