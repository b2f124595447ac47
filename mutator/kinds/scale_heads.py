"""scale-heads: cut the same width into more or fewer attention heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.groups import (
    GROUPS,
    HEAD_DIMS,
    HEADS,
    WIDTHS,
    constrained,
    fits,
    sibling,
    stated_as,
    uses_of,
    value,
    written_like,
)
from mutator.intents import Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDEST = 256  # the head dimension that flash attention takes at most
_ATTENTION = """\
from dataclasses import dataclass
from torch import nn
@dataclass
class Config:
    n_head: int = {heads}
{fields}    n_embd: int = 64
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.n_embd % config.n_head == 0
        self.n_head, self.head_dim = config.n_head, config.n_embd // config.n_head
        self.q = nn.Linear(config.n_embd, config.n_head * self.head_dim)
attention = Attention(Config())
"""
_DERIVED = """\
from torch import nn
HEAD_DIM = {}  # of each head
def build(dim):
    heads = dim // HEAD_DIM
    return nn.MultiheadAttention(dim, heads)
attention = build(512)
"""


class ScaleHeads(EditKind):
    """Choose another number of heads, or another head dimension where the number follows from it; the width stays what it is.

    Why: more heads look at more places with less precision each; it costs nothing. Key and value heads that equal the heads go along in
    the same edit, a head dimension that is stated next to the heads is divided. Source: Michel et al. 2019 (arXiv:1905.10650).
    Offered are divisors only, that leave an even head dimension (rotary positions turn pairs) of at least 8.
    """

    name = "scale-heads"
    family = Family.BLOCK
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"a.py": _ATTENTION.format(heads=4, fields="")},
            "scale-heads@a:Config/literal.n_head?to=8",
            {"a.py": _ATTENTION.format(heads=8, fields="")},
        ),
        Example(
            {"a.py": _ATTENTION.format(heads=4, fields="    n_kv_head: int = 4  # as many\n")},
            "scale-heads@a:Config/literal.n_head?to=2",
            {"a.py": _ATTENTION.format(heads=2, fields="    n_kv_head: int = 2  # as many\n")},
        ),
        Example({"a.py": _DERIVED.format(128)}, "scale-heads@a:/literal.HEAD_DIM?to=64", {"a.py": _DERIVED.format(64)}),
    )
    refusals = (
        Refusal(
            {"a.py": _ATTENTION.format(heads=4, fields="")},
            "scale-heads@a:Config/literal.n_head?to=3",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": _ATTENTION.format(heads=4, fields="")}, "scale-heads@a:Config/literal.n_embd?to=32", Reason.NO_SITE
        ),
        Refusal({"a.py": "n_head = 4\nx = [n_head]\n"}, "scale-heads@a:/literal.n_head?to=2", Reason.NO_EFFECT),
        Refusal(
            {"a.py": _ATTENTION.format(heads=3, fields="").replace("64", "6")},
            "scale-heads@a:Config/literal.n_head?to=6",
            Reason.SHAPE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The divisors near the number, where a layer, an assert or a reshape depends on it."""
        name = stated_as(graph, site)
        if not name or not (HEADS.search(name) or HEAD_DIMS.search(name)):
            return Reason.NO_SITE
        if not uses_of(graph, site) and not constrained(graph, site):
            return Reason.NO_EFFECT
        if HEAD_DIMS.search(name) and sibling(graph, site, HEADS) is not None:
            return Reason.NO_SITE  # edited together with the heads
        grid = tuple(n for n in _near(value(graph, site)) if _changes(graph, site, n))
        return choose(to=grid) if grid else Reason.SHAPE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the number, and those that go along."""
        return tuple(written_like(graph, node, new) for node, new in _changes(graph, site, int(choice["to"])).items())


def _near(old: int) -> tuple[int, ...]:
    return tuple(
        sorted({n for n in (old // 4, old // 2, old * 2, old * 4, old * 2 // 3, old * 3 // 2) if n > 0} - {old})
    )


def _changes(graph: CodeGraph, site: Node, new: int) -> dict[Node, int]:
    """Return the new values of all literals that belong together; none where they do not fit."""
    old, changes = value(graph, site), {site: new}
    if HEAD_DIMS.search(stated_as(graph, site)):
        return changes if 8 <= new <= _WIDEST and new % 8 == 0 and fits(graph, changes) else {}
    groups, size, width = (sibling(graph, site, names) for names in (GROUPS, HEAD_DIMS, WIDTHS))
    if size is not None:
        changes[size] = old * value(graph, size) // new
    if groups is not None and value(graph, groups) == old:
        changes[groups] = new
    kept = changes.get(groups, value(graph, groups)) if groups is not None else new
    total = old * value(graph, size) if size is not None else value(graph, width) if width is not None else 8 * new
    whole = total % new == 0 and total // new % 2 == 0 and total // new >= 8 and new % kept == 0
    return changes if whole and fits(graph, changes) else {}


KIND = ScaleHeads()
