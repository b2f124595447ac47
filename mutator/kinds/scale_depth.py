"""scale-depth: give a model more or fewer blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.groups import Use, fits, stated_as, uses_of, value, written_like
from mutator.intents import Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODEL = """\
from dataclasses import dataclass
from torch import nn
@dataclass
class Config:
    n_layer: int = 6
    n_embd: int = 64
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc = nn.Linear(config.n_embd, config.n_embd)
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
"""
_TRAIN = "from model import Config, GPT\nASPECT = 64\nDEPTH = {}  # blocks\nmodel = GPT(Config(n_layer=DEPTH, n_embd=ASPECT * DEPTH))\n"
_OPTION = """\
import argparse
from torch import nn
parser = argparse.ArgumentParser()
parser.add_argument("--nlayers", type=int, default={})
args = parser.parse_args()
rnn = nn.LSTM(64, 64, args.nlayers)
"""


class ScaleDepth(EditKind):
    """Change the number of blocks where it is stated: a constant, a field, an option.

    Why: depth is the first number that a scaling law turns, and what depends on it (width by aspect ratio, initialisation, windows) is
    recomputed by the sources themselves. The literal is followed to the `range` that fills a container of modules, or to the layers of a
    recurrent network; asserts hold. Source: Kaplan et al. 2020 (arXiv:2001.08361). Not offered: defaults that every caller overrides.
    """

    name = "scale-depth"
    family = Family.BLOCK
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"model.py": _MODEL, "train.py": "from model import Config, GPT\nmodel = GPT(Config())\n"},
            "scale-depth@model:Config/literal.n_layer?to=7",
            {"model.py": _MODEL.replace("n_layer: int = 6", "n_layer: int = 7")},
        ),
        Example(
            {"model.py": _MODEL, "train.py": _TRAIN.format(8)},
            "scale-depth@train:/literal.DEPTH?to=4",
            {"train.py": _TRAIN.format(4)},
        ),
        Example({"a.py": _OPTION.format(2)}, "scale-depth@a:/literal.default?to=3", {"a.py": _OPTION.format(3)}),
    )
    refusals = (
        Refusal(
            {"model.py": _MODEL, "train.py": _TRAIN.format(8)},
            "scale-depth@model:Config/literal.n_layer?to=7",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"model.py": _MODEL, "train.py": _TRAIN.format(8)},
            "scale-depth@train:/literal.ASPECT?to=32",
            Reason.NO_SITE,
        ),
        Refusal(
            {"model.py": _MODEL, "train.py": _TRAIN.format(8)},
            "scale-depth@train:/literal.DEPTH?to=900",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"model.py": _MODEL, "train.py": _TRAIN.format(8) + "assert DEPTH == 8\n"},
            "scale-depth@train:/literal.DEPTH?to=4",
            Reason.ASSERTION,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """One block less, one more, half and twice as many."""
        name = stated_as(graph, site)
        if not name:
            return Reason.NO_SITE
        if Use.DEPTH not in uses_of(graph, site):
            return Reason.NO_EFFECT if name in ("n_layer", "num_layers", "depth") else Reason.NO_SITE
        old = value(graph, site)
        grid = tuple(
            sorted({n for n in (old - 1, old + 1, old // 2, old * 2) if n > 0 and fits(graph, {site: n})} - {old})
        )
        return choose(to=Between(1, max(4 * old, 8), grid)) if grid else Reason.ASSERTION

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the number where the old one stands.

        Raises: Refused: it is the old one, or an assert fails with it.
        """
        new = int(choice["to"])
        if new == value(graph, site):
            raise Refused(Reason.NO_EFFECT, f"{site.slot}: is {new} already")
        if not fits(graph, {site: new}):
            raise Refused(Reason.ASSERTION, f"{site.slot}: with {new} an assert or a layer fails")
        return (written_like(graph, site, new),)


KIND = ScaleDepth()
