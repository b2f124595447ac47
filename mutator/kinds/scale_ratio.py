"""scale-ratio: change how much wider a feed-forward layer is inside than outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, text_of
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.groups import RATIOS, Use, layer_of, sizes_of, stated_as, uses_of, value, written_like
from mutator.intents import Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode

_RATIOS = (1, 2, 3, 4, 6, 8)  # Primer's ladder up to what fits
_MLP = """\
from torch import nn
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc    = nn.Linear(config.n_embd, {r} * config.n_embd, bias=config.bias)
        self.gelu    = nn.GELU()
        self.c_proj  = nn.Linear({r} * config.n_embd, config.n_embd, bias=config.bias)
    def forward(self, x):
        return self.c_proj(self.gelu(self.c_fc(x)))
"""
_LOCAL = """\
from torch import nn
class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        hidden = {r} * dim  # as in GPT-2
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
mlp = MLP(64)
"""
_FIELD = """\
from dataclasses import dataclass
from torch import nn
@dataclass
class Config:
    n_embd: int = 64
    mlp_ratio: int = {r}
class MLP(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.fc = nn.Linear(cfg.n_embd, cfg.mlp_ratio * cfg.n_embd)
        self.proj = nn.Linear(cfg.mlp_ratio * cfg.n_embd, cfg.n_embd)
mlp = MLP(Config())
"""
_ATTENTION = "from torch import nn\ndef build(n):\n    return nn.Linear(n, 3 * n), nn.Linear(n, n)\n"


class ScaleRatio(EditKind):
    """Change the expansion of a feed-forward layer, the 4 in `4 * n_embd`, in the layer that widens and in the one that narrows again.

    Why: 4 is a habit; Primer searched 1 to 16, and with less expansion the same budget buys depth. Source: So et al. 2021
    (arXiv:2109.08668). Not offered: a factor that no other layer takes back, such as the 3 of joint queries, keys and values.
    """

    name = "scale-ratio"
    family = Family.BLOCK
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"a.py": _MLP.format(r=4)}, "scale-ratio@a:MLP.__init__/literal.Linear?to=3", {"a.py": _MLP.format(r=3)}
        ),
        Example(
            {"a.py": _MLP.format(r=4)},
            "scale-ratio@a:MLP.__init__/literal.Linear?to=1",
            {"a.py": _MLP.replace("{r} * ", "")},
        ),
        Example(
            {"a.py": _LOCAL.format(r=4)}, "scale-ratio@a:MLP.__init__/literal.hidden?to=8", {"a.py": _LOCAL.format(r=8)}
        ),
        Example(
            {"a.py": _FIELD.format(r=2)}, "scale-ratio@a:Config/literal.mlp_ratio?to=6", {"a.py": _FIELD.format(r=6)}
        ),
    )
    refusals = (
        Refusal({"a.py": _ATTENTION}, "scale-ratio@a:build/literal.Linear?to=4", Reason.SHAPE),
        Refusal({"a.py": _MLP.format(r=4)}, "scale-ratio@a:MLP.__init__/literal.Linear.1?to=3", Reason.NO_SITE),
        Refusal({"a.py": _MLP.format(r=4)}, "scale-ratio@a:MLP.__init__/literal.Linear?to=9", Reason.NO_CHOICE),
        Refusal({"a.py": _MLP.format(r=4)}, "scale-ratio@a:MLP.__init__/literal.Linear?to=4", Reason.NO_EFFECT),
        Refusal({"a.py": _FIELD.format(r=2)}, "scale-ratio@a:Config/literal.n_embd?to=4", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Whole ratios from 1 to 8."""
        found = _coupled(graph, site)
        if isinstance(found, Reason):
            return found
        return choose(to=Between(1, 8, tuple(ratio for ratio in _RATIOS if ratio != value(graph, site))))

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the ratio at every site.

        Raises: Refused: it is the old one.
        """
        found, new = _coupled(graph, site), int(choice["to"])
        if isinstance(found, Reason) or new == value(graph, site):
            raise Refused(Reason.NO_EFFECT, f"{site.slot}: is {new} already")
        if new == 1 and site.role == "operand":
            return tuple(_bare(graph, node) for node in found)
        return tuple(written_like(graph, node, new) for node in found)


def _bare(graph: CodeGraph, literal: Node) -> ReplaceExpr:
    """Leave out a factor of 1."""
    product = graph.parent(literal)
    if product is None:  # an operand stands in an operation
        raise ValueError(literal.slot)
    sides = (field_of(graph.syntax(product), side) for side in ("left", "right"))
    return ReplaceExpr(product, next(text_of(side) for side in sides if side.start_byte != literal.start))


def _coupled(graph: CodeGraph, site: Node) -> tuple[Node, ...] | Reason:
    """Return the literals that state a ratio together, at the first of them."""
    if graph.text(site) not in "12345678" or site.role not in ("operand", "value", "default", "argument"):
        return Reason.NO_SITE
    found = uses_of(graph, site)
    if site.role != "operand":
        sized = {Use.IN, Use.OUT} <= found and bool(RATIOS.search(stated_as(graph, site)))
        return (site,) if sized else Reason.NO_SITE
    product = graph.syntax(site).parent
    call = graph.parent(site)
    while call is not None and call.kind is NodeKind.OPERATOR:
        call = graph.parent(call)
    if (
        product is None
        or product.type != "binary_operator"
        or text_of(field_of(product, "operator")) != "*"
        or call is None
    ):
        return Reason.NO_SITE
    if call.kind is NodeKind.STATEMENT:
        alone = (
            {Use.IN, Use.OUT} <= found
            and call.label != "return"
            and text_of(product) == graph.text(call).partition("=")[2].strip()
        )
        return (site,) if alone else Reason.NO_SITE
    return _in_layers(graph, site, product, call)


def _in_layers(graph: CodeGraph, site: Node, product: SyntaxNode, call: Node) -> tuple[Node, ...] | Reason:
    """Return the literals of a product that one layer of a function writes and another one reads."""
    if call.kind is not NodeKind.CALL or layer_of(graph, call) != "Linear":
        return Reason.NO_SITE
    text, literals, found = text_of(product), dict[int, Node](), dict[Use, list[int]]()
    for node in graph.files[site.path].nodes:
        if node.scope == site.scope and node.kind is NodeKind.LITERAL and node.role == "operand":
            literals[node.start] = node
        if node.scope == site.scope and node.kind is NodeKind.CALL and layer_of(graph, node) == "Linear":
            for expression, use in sizes_of(graph, node):
                if text_of(expression) == text:
                    found.setdefault(use, []).append(expression.start_byte + site.start - product.start_byte)
    if set(found) != {Use.IN, Use.OUT} or len(text.split("*")) != 2:
        return Reason.SHAPE
    coupled = tuple(
        literals[start] for start in sorted(start for places in found.values() for start in places) if start in literals
    )
    return coupled if coupled and coupled[0] == site else Reason.NO_SITE


KIND = ScaleRatio()
