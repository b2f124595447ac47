"""thread-parameter: turn a number deep in the code into a field of the configuration, through every constructor between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.intents import AddParam, InsertStmt, Intent, ReplaceExpr, SetArg
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import not_a_quantity, value_of
from mutator.places import purpose, unit_name
from mutator.routes import Route, field_text, fields_of, route_to, statements_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONFIG = "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    width: int = 8\n"
_NORM = """\
class Norm:
    def __init__(self, dim{param}):
        super().__init__(){keep}
        self.dim = dim

    def forward(self, x):
        return normalise(x, self.dim, eps={eps})
"""
_MODEL = "from config import Config\nfrom norm import Norm\n\n\ndef build(cfg: Config):\n    return Norm(cfg.width{argument})\n"
_CHAIN = """\
from config import Config
class MLP:
    def __init__(self, dim{param}):
        super().__init__(){keep}
        self.dim = dim
    def forward(self, x):
        return act(x, slope={slope})
class Block:
    def __init__(self, dim{param}):
        super().__init__()
        self.mlp = MLP(dim{inner})
class GPT:
    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.blocks = [Block(cfg.width{outer}) for _ in range(2)]
    def forward(self, x):
        return x * {scale}
model = GPT(Config(**{{"width": 4}}))
"""
_ARGS = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument('--lr', type=float, default=0.1)
parser.add_argument('--max-norm', type=float, default=1.0){option}
args = parser.parse_args()
def train(model):
    update(model, lr=args.lr, decay={decay})
"""


class ThreadParameter(EditKind):
    """Hoist a number into the configuration: a new field, passed through the constructor, read where the number stood.

    One atomic edit in up to as many files as the number is away from the configuration. It preserves behaviour, since the field's default
    is the old number: what it buys is that later edits, and people, can turn it. The configuration is a dataclass, or the options of a
    command line. Where it is in reach, in a name or as `self.config`, it is read directly; else the constructor of the class gets a
    parameter and every call of it passes the field, through up to two constructors. A configuration made of a checkpoint's `**dict` takes
    the default. Source: kind 36 of the grammar. Refused: a configuration that may be None, is bound twice or after the number, or has
    heirs; a class that has heirs or is constructed where no configuration is in reach.
    """

    name = "thread-parameter"
    family = Family.REFACTOR
    at = NodeKind.LITERAL
    preserves = True
    examples = (
        Example(
            {
                "config.py": _CONFIG,
                "norm.py": _NORM.format(param="", keep="", eps="1e-5"),
                "model.py": _MODEL.format(argument=""),
            },
            "thread-parameter@norm:Norm.forward/literal.eps?name=norm_eps",
            {
                "config.py": _CONFIG + "    norm_eps: float = 1e-5\n",
                "norm.py": _NORM.format(
                    param=", norm_eps=1e-5", keep="\n        self.norm_eps = norm_eps", eps="self.norm_eps"
                ),
                "model.py": _MODEL.format(argument=", norm_eps=cfg.norm_eps"),
            },
        ),
        Example(
            {
                "config.py": _CONFIG,
                "a.py": "from config import Config\n\n\ndef f(x, cfg: Config):\n    return clip(x, bound=1e-3)\n",
            },
            "thread-parameter@a:f/literal.bound?name=f_bound",
            {
                "config.py": _CONFIG + "    f_bound: float = 1e-3\n",
                "a.py": "from config import Config\n\n\ndef f(x, cfg: Config):\n    return clip(x, bound=cfg.f_bound)\n",
            },
        ),
        Example(
            {
                "config.py": _CONFIG,
                "a.py": _CHAIN.format(param="", keep="", inner="", outer="", slope="0.02", scale="0.5"),
            },
            "thread-parameter@a:MLP.forward/literal.slope?name=mlp_slope",
            {
                "config.py": _CONFIG + "    mlp_slope: float = 0.02\n",
                "a.py": _CHAIN.format(
                    param=", mlp_slope=0.02",
                    keep="\n        self.mlp_slope = mlp_slope",
                    inner=", mlp_slope=mlp_slope",
                    outer=", mlp_slope=cfg.mlp_slope",
                    slope="self.mlp_slope",
                    scale="0.5",
                ),
            },
        ),
        Example(
            {
                "config.py": _CONFIG,
                "a.py": _CHAIN.format(param="", keep="", inner="", outer="", slope="0.02", scale="0.5"),
            },
            "thread-parameter@a:GPT.forward/literal.return?name=gpt_factor",
            {
                "config.py": _CONFIG + "    gpt_factor: float = 0.5\n",
                "a.py": _CHAIN.format(param="", keep="", inner="", outer="", slope="0.02", scale="self.cfg.gpt_factor"),
            },
        ),
        Example(
            {"a.py": _ARGS.format(option="", decay="0.01")},
            "thread-parameter@a:train/literal.decay?name=train_decay",
            {
                "a.py": _ARGS.format(
                    option="\nparser.add_argument('--train-decay', type=float, default=0.01)", decay="args.train_decay"
                )
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _CONFIG + "def f(x):\n    y = 2.5 * x\n    cfg = Config()\n    return y + cfg.width\n"},
            "thread-parameter@a:f/literal.y?name=f_y",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _CONFIG + "def f(x, cfg: Config = None):\n    return 2.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_factor",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _CONFIG + "def f(x, cfg: Config | None):\n    return 2.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_factor",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _CONFIG + "class Wide(Config):\n    depth: int\ndef f(x, cfg: Config):\n    return 2.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_factor",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _CONFIG + "    f_factor: int = 3\ndef f(x, cfg: Config):\n    return 2.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_factor",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {"a.py": "def f(x):\n    return 0.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_factor",
            Reason.NO_SITE,
        ),
        Refusal(
            {"config.py": _CONFIG, "norm.py": _NORM.format(param="", keep="", eps="1e-5") + "\n\nn = Norm(8)\n"},
            "thread-parameter@norm:Norm.forward/literal.eps?name=norm_eps",
            Reason.NO_SITE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """The name of the new field, after the unit and what the number is for, where a configuration can reach the number."""
        reason = not_a_quantity(graph, site)
        if reason is not None or abs(value_of(graph.text(site))) in (0, 1):
            return reason or Reason.NO_QUANTITY
        if graph.nodes[site.scope].kind is not NodeKind.FUNCTION or graph.statement(site) is None:
            return Reason.NO_SITE
        name = _name(graph, site)
        route = route_to(graph, site, name)
        return route if isinstance(route, Reason) else choose(name=[name])

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Add the field, pass it on, read it."""
        text, name = graph.text(site), _name(graph, site)
        route = route_to(graph, site, name)
        if isinstance(route, Reason):
            return ()
        field = InsertStmt(fields_of(graph, route.declared)[-1], field_text(graph, route.declared, name, text))
        if not route.constructors:
            return (field, ReplaceExpr(site, f"{route.reads}.{name}"))
        passed: tuple[Intent, ...] = (
            *(SetArg(call, name, given) for call, given in route.arguments),
            *(AddParam(c, name, text) for c in route.constructors),
        )
        return (field, *passed, *_read(graph, site, route, name))


def _name(graph: CodeGraph, site: Node) -> str:
    return f"{unit_name(graph, graph.nodes[site.scope])}_{purpose(graph, site)}"


def _read(graph: CodeGraph, site: Node, route: Route, name: str) -> tuple[Intent, ...]:
    """Read the parameter where the number stood: itself in the constructor, elsewhere what the constructor keeps."""
    constructor = route.constructors[0]
    if site.scope == constructor.slot:
        return (ReplaceExpr(site, name),)
    first = statements_of(graph, constructor)[0]
    keep = InsertStmt(first, f"self.{name} = {name}", before=not graph.text(first).startswith("super()"))
    return (keep, ReplaceExpr(site, f"self.{name}"))


KIND = ThreadParameter()
