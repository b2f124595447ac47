"""thread-parameter: turn a number deep in the code into a field of the configuration, through every constructor between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from mutator.facts import is_config_class, places_things
from mutator.intents import AddParam, InsertStmt, Intent, ReplaceExpr, SetArg
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class ThreadParameter:
    """Hoist a number into the configuration: a new field, passed through the constructor, read where the number stood.

    One atomic edit in up to as many files as the number is away from the configuration. It preserves behaviour, since the field's default
    is the old number: what it buys is that later edits, and people, can turn it. Where the configuration is in reach it is read directly;
    else the constructor of the class gets a parameter and every call of it passes the field. Source: kind 36 of the grammar.
    Refused: a constructor that is called where no configuration is in reach, or with arguments out of `*`.
    """

    name = "thread-parameter"
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
                "a.py": "from config import Config\n\n\ndef f(x, cfg: Config):\n    return max(x, 1e-3)\n",
            },
            "thread-parameter@a:f/literal.max?name=f_max",
            {
                "config.py": _CONFIG + "    f_max: float = 1e-3\n",
                "a.py": "from config import Config\n\n\ndef f(x, cfg: Config):\n    return max(x, cfg.f_max)\n",
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "def f(x):\n    return 0.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_return",
            Reason.NO_SITE,
        ),
        Refusal(
            {"config.py": _CONFIG, "norm.py": _NORM.format(param="", keep="", eps="1e-5") + "\n\nn = Norm(8)\n"},
            "thread-parameter@norm:Norm.forward/literal.eps?name=norm_eps",
            Reason.NO_SITE,
        ),
    )

    def sites(self, graph: CodeGraph) -> Iterator[Node]:
        """Every number inside a function or method that a configuration can reach."""
        return (node for node in graph.of_kind(NodeKind.LITERAL) if _route(graph, node) is not None)

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """The name of the new field: after the unit and what the number is for."""
        route = _route(graph, site)
        return () if route is None else ((("name", route.name),),)

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Add the field, pass it on, read it."""
        route = _route(graph, site)
        if route is None:
            return ()
        text, name = graph.text(site), route.name
        kind = "int" if text.lstrip("-").isdigit() else "float"
        field = InsertStmt(route.last_field, f"{name}: {kind} = {text}")
        if route.constructor is None:
            return (field, ReplaceExpr(site, f"{route.reads}.{name}"))
        calls = tuple(SetArg(call, name, f"{config}.{name}") for call, config in route.calls)
        keep = InsertStmt(_first_statement(graph, route.constructor), f"self.{name} = {name}")
        return (field, *calls, AddParam(route.constructor, name, text), keep, ReplaceExpr(site, f"self.{name}"))


@dataclass(frozen=True, slots=True)
class _Route:
    """How a field gets from the configuration to a number: read directly, or through a constructor that is called here and there."""

    name: str
    last_field: Node
    reads: str = ""
    constructor: Node | None = None
    calls: tuple[tuple[Node, str], ...] = ()


def _route(graph: CodeGraph, site: Node) -> _Route | None:
    function = graph.nodes[site.scope]
    if function.kind is not NodeKind.FUNCTION or not _is_quantity(graph, site):
        return None
    owner = graph.nodes[function.scope]
    unit = owner.label if owner.kind is NodeKind.CLASS else function.label
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{unit}_{site.label}").lower().strip("_")
    direct = _config_in_reach(graph, function.slot)
    if direct:
        return _finish(graph, name, direct[1], reads=direct[0])
    if owner.kind is not NodeKind.CLASS or function.label == "__init__":
        return None
    return _through_constructor(graph, owner, name)


def _through_constructor(graph: CodeGraph, owner: Node, name: str) -> _Route | None:
    constructor = graph.nodes.get(f"{owner.slot}.__init__")
    calls = [graph.nodes[slot] for slot in graph.sources(owner.slot, EdgeKind.CALLS)]
    reach = [(call, _config_in_reach(graph, _scope_of(graph, call))) for call in calls]
    if (
        constructor is None
        or not reach
        or any(found is None or read_call(graph, call).starred for call, found in reach)
    ):
        return None
    classes = {found[1] for _, found in reach if found}
    if len(classes) != 1 or any(graph.frozen(call) for call in calls):
        return None
    return _finish(
        graph,
        name,
        classes.pop(),
        constructor=constructor,
        calls=tuple((call, found[0]) for call, found in reach if found),
    )


def _finish(
    graph: CodeGraph,
    name: str,
    config: str,
    *,
    reads: str = "",
    constructor: Node | None = None,
    calls: tuple[tuple[Node, str], ...] = (),
) -> _Route | None:
    """Refuse a name that is taken, and a configuration whose fields cannot be followed."""
    fields = [graph.nodes[s] for s in graph.targets(config, EdgeKind.CONTAINS)]
    last = [node for node in fields if node.kind is NodeKind.STATEMENT and graph.targets(node.slot, EdgeKind.WRITES)]
    names = {
        node.label
        for node in graph.nodes.values()
        if constructor is not None and node.scope in (constructor.slot, constructor.scope)
    }
    taken = name in names or graph.resolver.attribute(config, name) or not name.isidentifier()
    return None if taken or not last else _Route(name, last[-1], reads, constructor, calls)


def _config_in_reach(graph: CodeGraph, scope: str) -> tuple[str, str] | None:
    """Return (name, class slot) of the first configuration that a function holds: a parameter before a variable."""
    if graph.nodes[scope].kind is NodeKind.CLASS:
        return None
    return next(((name, owner) for name, owner in graph.instances(scope) if is_config_class(graph, owner)), None)


def _scope_of(graph: CodeGraph, call: Node) -> str:
    return call.scope


def _is_quantity(graph: CodeGraph, node: Node) -> bool:
    text = graph.text(node).replace("_", "")
    if node.role not in ("value", "argument", "operand") or places_things(graph, node):
        return False
    return bool(re.fullmatch(r"-?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?", text)) and not (text.isdigit() and int(text) < 2)


def _first_statement(graph: CodeGraph, constructor: Node) -> Node:
    """Return the statement after which attributes may be set: `super().__init__()`, or the first one."""
    inside = [
        n
        for s in graph.targets(constructor.slot, EdgeKind.CONTAINS)
        if (n := graph.nodes[s]).kind is NodeKind.STATEMENT
    ]
    return next((n for n in inside if graph.text(n).startswith("super()")), inside[0])
