"""inline-function: put what a function returns in the place of a call of it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import BindingKind, descend, parts, text_of
from mutator.acts import Act, acts_in, acts_of_call
from mutator.domain import NOTHING_TO_CHOOSE, Domain
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.intents import EnsureImport, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import off_the_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.syntax import Binding

_NORM = (
    "import torch.nn.functional as F\n\n\ndef norm(x, eps=1e-5):\n    return F.rms_norm(x, (x.size(-1),), eps=eps)\n"
)
_MIX = "def mix(a, b, f=0.5):\n    return f * a + (1 - f) * b\n\n\ndef ema(p, q, decay):\n    return {call} ** 2\n"
_NET = """\
from torch import nn
class Net(nn.Module):
    def scaled(self, x):
        return x * self.scale
    def forward(self, x):
        return {call} + x
"""


class InlineFunction(EditKind):
    """Replace a call by the expression that the function returns, with the arguments in the place of the parameters.

    Behaviour stays as it is: arguments are evaluated once and in order, or are plain names and numbers. It takes the sharing away: the norm
    of the queries may then change without that of the keys. Source: kind 38 of the grammar; fn.inline of rope and PyCharm.
    Not offered: functions of more than one statement, decorated, overridden or generators; names that mean something else at the call.
    """

    name = "inline-function"
    family = Family.REFACTOR
    at = NodeKind.CALL
    preserves = True
    examples = (
        Example(
            {"a.py": _NORM + "\n\ndef attend(q, k):\n    return norm(q) @ norm(k, 1e-6).mT  # (T, T)\n"},
            "inline-function@a:attend/call.norm",
            {
                "a.py": _NORM
                + "\n\ndef attend(q, k):\n    return F.rms_norm(q, (q.size(-1),), eps=1e-5) @ norm(k, 1e-6).mT  # (T, T)\n"
            },
        ),
        Example(
            {"a.py": _MIX.format(call="mix(p - q, b=q, f=decay)")},
            "inline-function@a:ema/call.mix",
            {"a.py": _MIX.format(call="(decay * (p - q) + (1 - decay) * q)")},
        ),
        Example(
            {"a.py": _NET.format(call="self.scaled(x)")},
            "inline-function@a:Net.forward/call.scaled",
            {"a.py": _NET.format(call="x * self.scale")},
        ),
        Example(
            {"norms.py": _NORM, "a.py": "from norms import norm\n\ndef f(x):\n    return norm(x)\n"},
            "inline-function@a:f/call.norm",
            {
                "a.py": "from norms import norm\nimport torch.nn.functional as F\n\ndef f(x):\n"
                "    return F.rms_norm(x, (x.size(-1),), eps=1e-5)\n"
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "def f(x):\n    y = x\n    return y\nz = f(1)\n"}, "inline-function@a:/call.f", Reason.NO_SITE
        ),
        Refusal({"a.py": _NORM + "\ny = norm(read())\n"}, "inline-function@a:/call.norm", Reason.ORDER),
        Refusal({"a.py": _NORM + "\ny = norm(*xs)\n"}, "inline-function@a:/call.norm", Reason.ARITY),
        Refusal(
            {"a.py": "import math\ndef f(x):\n    return math.pi * x\ndef g(math):\n    return f(math)\n"},
            "inline-function@a:g/call.f",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {"b.py": "k = 2\ndef f(x):\n    return k * x\n", "a.py": "from b import f\ny = f(1)\n"},
            "inline-function@a:/call.f",
            Reason.NAME_CLASH,
        ),
        Refusal({"a.py": "y = f(x)\n"}, "inline-function@a:/call.f", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Every call of one function of ours that only returns an expression; there is nothing to choose."""
        made = _inlined(graph, site)
        return made if isinstance(made, Reason) else NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the expression, and import what it needs."""
        made = _inlined(graph, site)
        return () if isinstance(made, Reason) else made


def _inlined(graph: CodeGraph, site: Node) -> tuple[Intent, ...] | Reason:
    """Return the intents, or why not."""
    callees = [graph.nodes[slot] for slot in graph.callees(site)]
    if (
        len(callees) != 1
        or callees[0].kind is not NodeKind.FUNCTION
        or callees[0].label != site.label
        or site.scope == callees[0].slot
    ):
        return Reason.NO_SITE
    function = callees[0]
    returned = _returned(graph, function)
    if returned is None:
        return Reason.NO_SITE
    off = off_the_path(graph, site)
    given = _given(graph, site, function) if off is None else None
    if given is None:
        return off or Reason.ARITY
    if not _in_order(graph, site, function, returned, given):
        return Reason.ORDER
    imports = _reached(graph, site, function, returned, set(given), " ".join(given.values()))
    if imports is None:
        return Reason.NAME_CLASH
    escaped = _holes(returned, set(given))
    return (*imports, ReplaceExpr(site, fill(escaped, **{k: v for k, v in given.items() if f"{{{k}}}" in escaped})))


def _returned(graph: CodeGraph, function: Node) -> str | None:
    """Return the expression that is all of a function's body."""
    syntax = graph.syntax(function)
    body, head = syntax.child_by_field_name("body"), syntax.parent
    if body is None or (head is not None and head.type == "decorated_definition") or syntax.children[0].type == "async":
        return None
    statements = [
        s for s in parts(body) if not (s.type == "expression_statement" and s.named_children[0].type == "string")
    ]
    value = parts(statements[0]) if len(statements) == 1 and statements[0].type == "return_statement" else []
    odd = ("lambda", "named_expression", "yield", "await", "interpolation", "comment", "list_splat")
    if len(value) != 1 or value[0].type == "expression_list" or any(n.type in odd for n in descend(value[0])):
        return None
    return (
        None
        if graph.sources(function.slot, EdgeKind.OVERRIDES) or "super()" in text_of(value[0])
        else text_of(value[0])
    )


def _given(graph: CodeGraph, site: Node, function: Node) -> dict[str, str] | None:
    """Return the argument of each parameter, in the order in which they are evaluated; defaults must be constants."""
    call, names = read_call(graph, site), _parameters(graph, function)
    if call.starred or names is None:
        return None
    given: dict[str, str] = {}
    positional = iter(names)
    if graph.nodes[function.scope].kind is NodeKind.CLASS:
        receiver = call.function.rpartition(".")[0]
        if not re.fullmatch(r"self(\.\w+)*", receiver):
            return None
        given[next(positional)] = receiver
    for argument in call.arguments:
        name = argument.name or next(positional, "")
        if name not in names or name in given:
            return None
        given[name] = argument.value
    left = {name: default for name, default in names.items() if name not in given}
    constant = all(re.fullmatch(r"-?[\d.][\w.\-]*|None|True|False", default) for default in left.values())
    return {**given, **left} if constant else None


def _parameters(graph: CodeGraph, function: Node) -> dict[str, str] | None:
    """Return the default of each parameter, empty where there is none; nothing for functions in functions and those that take `*`."""
    syntax = graph.syntax(function).child_by_field_name("parameters")
    if syntax is None or graph.nodes[function.scope].kind not in (NodeKind.CLASS, NodeKind.MODULE):
        return None
    found: dict[str, str] = {}
    for parameter in parts(syntax):
        default = parameter.child_by_field_name("value")
        bare = parts(parameter)[0] if parameter.type == "typed_parameter" else parameter
        name = parameter.child_by_field_name("name") or bare
        if name.type != "identifier":
            return None
        found[text_of(name)] = text_of(default) if default is not None else ""
    return found


def _in_order(graph: CodeGraph, site: Node, function: Node, returned: str, given: Mapping[str, str]) -> bool:
    """Whether evaluating the arguments inside the expression gives what evaluating them before it does."""
    tree = ast.parse(f"({returned})", mode="eval").body
    lazy = {n for part in ast.walk(tree) if isinstance(part, _LAZY) for n in ast.walk(part)}
    uses = {name: [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name] for name in given}
    does = acts_in(graph, function)
    if does & {Act.CHANGES, Act.UNKNOWN, Act.TELLS} and not all(_is_plain(v, attributes=False) for v in given.values()):
        return False
    if any(not _is_plain(v) and (len(uses[n]) != 1 or uses[n][0] in lazy) for n, v in given.items()):
        return False
    calls = [graph.nodes[s] for s in graph.targets(site.slot, EdgeKind.CONTAINS)]
    return not any(acts for n in calls if (acts := _acts_below(graph, n)))


_LAZY = (ast.IfExp, ast.BoolOp, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Compare)


def _acts_below(graph: CodeGraph, node: Node) -> frozenset[Act]:
    own = acts_of_call(graph, node) if node.kind is NodeKind.CALL else frozenset()
    return own.union(*(_acts_below(graph, graph.nodes[s]) for s in graph.targets(node.slot, EdgeKind.CONTAINS)))


def _is_plain(text: str, *, attributes: bool = True) -> bool:
    """Whether an argument may be written any number of times: a name, a number, an attribute of one."""
    return bool(re.fullmatch(r"-?[\d.][\w.]*(e-?\d+)?|\w+" + (r"|\w+(\.\w+)*" if attributes else ""), text))


def _reached(  # the call, the function, and what is written where
    graph: CodeGraph, site: Node, function: Node, returned: str, parameters: set[str], arguments: str
) -> tuple[EnsureImport, ...] | None:
    """Return what must be imported for the free names of the expression to mean the same at the call; None when they cannot."""
    tree = ast.parse(f"({returned})", mode="eval")
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    free = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - parameters - bound
    if bound & (set(re.findall(r"\w+", arguments)) | parameters):
        return None
    imports: list[EnsureImport] = []
    for name in sorted(free):
        there, here = graph.bindings(name, function.slot), graph.bindings(name, site.scope)
        if [b.slot for b in there] == [b.slot for b in here]:
            continue
        wanted = _import_of(graph, site, there)
        if wanted is None or any(b.target != there[0].target for b in here):
            return None
        imports.append(wanted)
    return tuple(imports)


def _import_of(graph: CodeGraph, site: Node, bindings: tuple[Binding, ...]) -> EnsureImport | None:
    node = graph.nodes[bindings[0].slot] if len(bindings) == 1 else None
    if node is None or bindings[0].kind is not BindingKind.IMPORT or bindings[0].scope != graph.files[node.path].module:
        return None
    target = bindings[0].target
    if not graph.text(node).startswith("from"):
        return EnsureImport(site, target, node.label)
    module, _, name = target.rpartition(".")
    return EnsureImport(site, module, node.label, name)


def _holes(returned: str, names: set[str]) -> str:
    """Return the expression as a template: `{x}` for each parameter."""
    tree = ast.parse(f"({returned})", mode="eval")
    lines = f"({returned})".encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    data = b"".join(lines)
    uses = (n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in names)
    cut = [(starts[n.lineno - 1] + n.col_offset, n.id) for n in uses]
    made, end = [], len(data)
    for start, name in sorted(cut, reverse=True):
        after = start + len(name.encode())
        made.append(data[after:end].decode().replace("{", "{{").replace("}", "}}"))
        made.append(f"{{{name}}}")
        end = start
    made.append(data[:end].decode().replace("{", "{{").replace("}", "}}"))
    return "".join(reversed(made))[1:-1]


KIND = InlineFunction()
