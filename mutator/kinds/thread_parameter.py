"""thread-parameter: turn a number deep in the code into a field of the configuration, through every constructor between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import BindingKind
from mutator.facts import is_config_class, places_things
from mutator.intents import AddParam, InsertStmt, Intent, ReplaceExpr, SetArg
from mutator.kind import Choice, Example, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAYBE_NONE = re.compile(r"\bNone\b|\bOptional\b")
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
    Refused: a configuration that may be None, is bound twice or after the number, or has heirs; a class that has heirs or is constructed
    where no configuration is in reach.
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
            {"a.py": _CONFIG + "def f(x):\n    y = 2.5 * x\n    cfg = Config()\n    return y + cfg.width\n"},
            "thread-parameter@a:f/literal.y?name=f_y",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _CONFIG + "def f(x, cfg: Config = None):\n    return 2.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_return",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _CONFIG + "def f(x, cfg: Config | None):\n    return 2.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_return",
            Reason.NO_SITE,
        ),
        Refusal(
            {"a.py": _CONFIG + "class Wide(Config):\n    depth: int\ndef f(x, cfg: Config):\n    return 2.5 * x\n"},
            "thread-parameter@a:f/literal.return?name=f_return",
            Reason.NO_SITE,
        ),
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
        field = InsertStmt(_fields(graph, route.config)[-1], f"{name}: {kind} = {text}")
        if route.constructor is None:
            return (field, ReplaceExpr(site, f"{route.reads}.{name}"))
        calls = tuple(SetArg(call, name, f"{config}.{name}") for call, config in route.calls)
        first = _statements(graph, route.constructor)[0]
        keep = InsertStmt(first, f"self.{name} = {name}", before=not graph.text(first).startswith("super()"))
        return (field, *calls, AddParam(route.constructor, name, text), keep, ReplaceExpr(site, f"self.{name}"))


@dataclass(frozen=True, slots=True)
class _Route:
    """How a field gets from the configuration to a number: read directly, or through a constructor that is called here and there."""

    name: str
    config: str
    reads: str = ""
    constructor: Node | None = None
    calls: tuple[tuple[Node, str], ...] = ()


def _route(graph: CodeGraph, site: Node) -> _Route | None:
    function, statement = graph.nodes[site.scope], graph.statement(site)
    if function.kind is not NodeKind.FUNCTION or statement is None or not _is_quantity(graph, site):
        return None
    owner = graph.nodes[function.scope]
    unit = owner.label if owner.kind is NodeKind.CLASS else function.label
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{unit}_{site.label}").lower().strip("_")
    direct = _config_in_reach(graph, site)
    if direct is not None:
        return _finish(graph, _Route(name, direct[1], reads=direct[0]))
    is_method = owner.kind is NodeKind.CLASS and f"{function.slot}/param.self" in graph.nodes
    return _through_constructor(graph, owner, name) if is_method and function.label != "__init__" else None


def _through_constructor(graph: CodeGraph, owner: Node, name: str) -> _Route | None:
    """Pass the field through `__init__`, where all calls of a class without heirs have one configuration in reach."""
    constructor = graph.nodes.get(f"{owner.slot}.__init__")
    calls = tuple(graph.nodes[slot] for slot in graph.sources(owner.slot, EdgeKind.INSTANTIATES))
    reach = [_config_in_reach(graph, call) if _makes_only(graph, call, owner) else None for call in calls]
    configs = {found[1] for found in reach if found is not None}
    if constructor is None or len(configs) != 1 or None in reach or graph.sources(owner.slot, EdgeKind.INHERITS):
        return None
    blocked = graph.members(owner.slot, "__slots__") or any(
        graph.frozen(c) or read_call(graph, c).starred for c in calls
    )
    passed = tuple((call, found[0]) for call, found in zip(calls, reach, strict=True) if found is not None)
    return None if blocked else _finish(graph, _Route(name, configs.pop(), constructor=constructor, calls=passed))


def _makes_only(graph: CodeGraph, node: Node, owner: Node) -> bool:
    """Whether a node is a call that makes instances of this class and of no other, which would not know the argument."""
    return node.kind is NodeKind.CALL and graph.targets(node.slot, EdgeKind.INSTANTIATES) == (owner.slot,)


def _finish(graph: CodeGraph, route: _Route) -> _Route | None:
    """Refuse a name that is taken, a configuration with heirs (whose fields would move), and a constructor without a statement."""
    scopes = () if route.constructor is None else (route.constructor.slot, route.constructor.scope)
    taken = not route.name.isidentifier() or any(
        n.label == route.name for n in graph.nodes.values() if n.scope in scopes
    )
    taken = taken or bool(graph.members(route.config, route.name))
    bare = route.constructor is not None and not _statements(graph, route.constructor)
    heirs = graph.sources(route.config, EdgeKind.INHERITS)
    return None if taken or bare or heirs or not _fields(graph, route.config) else route


def _config_in_reach(graph: CodeGraph, site: Node) -> tuple[str, str] | None:
    """Return (name, class slot) of the first configuration that surely stands in a name where a site is evaluated."""
    if graph.nodes[site.scope].kind is NodeKind.CLASS:
        return None
    for name, owner in graph.instances(site.scope):
        if is_config_class(graph, owner) and _surely_holds(graph, name, site):
            return name, owner
    return None


def _surely_holds(graph: CodeGraph, name: str, site: Node) -> bool:
    """Whether a name is bound once: as a parameter that is never None, or by a statement of the scope's own block before the site."""
    bindings = graph.bindings(name, site.scope)
    if len(bindings) != 1 or len(graph.held(name, site.scope)) != 1:
        return False
    if bindings[0].kind is BindingKind.PARAMETER:
        return not _MAYBE_NONE.search(graph.text(graph.nodes[bindings[0].slot]))
    writers = [graph.nodes[slot] for slot in graph.sources(bindings[0].slot, EdgeKind.WRITES)]
    own_block = (
        bindings[0].kind is BindingKind.VALUE
        and len(writers) == 1
        and graph.parent(writers[0]) == graph.nodes[site.scope]
        and not _MAYBE_NONE.search(graph.text(writers[0]))
    )
    return own_block and writers[0].end < site.start


def _is_quantity(graph: CodeGraph, node: Node) -> bool:
    text = graph.text(node).replace("_", "")
    if node.role not in ("value", "argument", "positional", "operand") or places_things(graph, node):
        return False
    return bool(re.fullmatch(r"-?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?", text)) and not (text.isdigit() and int(text) < 2)


def _fields(graph: CodeGraph, config: str) -> list[Node]:
    return [n for n in _statements(graph, graph.nodes[config]) if graph.targets(n.slot, EdgeKind.WRITES)]


def _statements(graph: CodeGraph, unit: Node) -> list[Node]:
    """Return the statements of a unit's own block, without its docstring."""
    inside = [graph.nodes[slot] for slot in graph.targets(unit.slot, EdgeKind.CONTAINS)]
    return [n for n in inside if n.kind is NodeKind.STATEMENT and not graph.text(n).startswith(('"', "'", 'r"'))]
