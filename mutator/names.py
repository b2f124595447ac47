"""Which names some code needs and does not find: unbound ones, and those that are used before anything can have bound them."""

from __future__ import annotations

import ast
import builtins
import symtable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.units import FUNCTIONS
from mutator.chunks import read_code
from mutator.layout import BOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Event = tuple[str, bool]  # a name, and whether it is bound rather than loaded

_CACHED = 4096
_GIVEN = frozenset(
    {*dir(builtins), "__file__", "__name__", "__doc__", "__class__", "__path__", "__spec__", "__package__"}
)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of some code, as the module around it sees them."""

    bound: frozenset[str]  # by its own statements, outside of functions and classes, and by `global`
    needed: frozenset[str]  # loaded and not bound in its functions and classes; builtins left out
    at_once: frozenset[str]  # of these, loaded when the code runs and before it binds them itself
    early: frozenset[str]  # locals that are loaded before anything in their function can have bound them: "f.x"
    starred: bool  # whether it imports what nobody can tell


@lru_cache(maxsize=_CACHED)
def names_of(code: bytes) -> Names:
    """Read the names of code that compiles."""
    tree = read_code(code).tree
    bound, needed = set[str](), set[str]()
    text = ast.unparse(tree) if b"coding" in code[:400] else code.removeprefix(BOM).decode()
    for scope in _scopes(symtable.symtable(text, "code", "exec")):
        is_module = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            binds = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if binds and (is_module or symbol.is_declared_global()):
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (is_module or symbol.is_global()):
                needed.add(symbol.get_name())
    needed -= _GIVEN
    events = list(_events(tree.body))
    starred = b"import" in code and any(
        isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree)
    )
    early = frozenset(f"{function.name}.{name}" for function in _functions(tree) for name in _early(function))
    return Names(frozenset(bound), frozenset(needed), frozenset(_loaded_first(events)) & needed, early, starred)


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def _early(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the locals of a function that are loaded before anything in it binds them, whatever path is taken."""
    events, given = list(_events(function.body)), function.args
    parameters = {a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if a}
    return (_loaded_first(events) & {name for name, binds in events if binds}) - parameters


def _loaded_first(events: Iterable[Event]) -> set[str]:
    seen, loaded = set[str](), set[str]()
    for name, binds in events:
        if binds:
            seen.add(name)
        elif name not in seen:
            loaded.add(name)
    return loaded


def _events(nodes: Iterable[ast.AST]) -> Iterator[Event]:
    """Walk what is loaded and bound when statements run, in the order in which it happens; not inside of functions."""
    for node in nodes:
        yield from _events_of(node)


def _events_of(node: ast.AST) -> Iterator[Event]:  # noqa: C901, PLR0912, PLR0915 - one case per statement that binds
    match node:
        case ast.Name(id=name, ctx=ctx):
            yield name, not isinstance(ctx, ast.Load)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
            yield from _events([*node.decorator_list, *defaults])
            yield node.name, True
        case ast.Lambda():
            yield from _events([*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)])
        case ast.ClassDef():
            yield from _events([*node.decorator_list, *node.bases, *(k.value for k in node.keywords)])
            inside = list(_events(node.body))
            yield from ((name, False) for name in sorted(_loaded_first(inside)))
            yield node.name, True
        case ast.Assign(targets=targets, value=value):
            yield from _events([value, *targets])
        case ast.AnnAssign(target=target, value=value):
            yield from _events([value, target] if value is not None else [])
        case ast.AugAssign(target=target, value=value):
            yield from ((target.id, False),) if isinstance(target, ast.Name) else ()
            yield from _events([value, target])
        case ast.NamedExpr(target=target, value=value):
            yield from _events([value, target])
        case (
            ast.For(target=target, iter=source, body=body, orelse=orelse)
            | ast.AsyncFor(target=target, iter=source, body=body, orelse=orelse)
        ):
            yield from _events([source, target, *body, *orelse])
        case ast.Global(names=declared) | ast.Nonlocal(names=declared):
            yield from ((name, True) for name in declared)  # by others
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (((a.asname or a.name).partition(".")[0], True) for a in names)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            own = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
            inner = [e for child in ast.iter_child_nodes(node) for e in _events_of(child)]
            yield from (event for event in inner if event[0] not in own)
        case ast.Try() | ast.TryStar():
            # What the body binds may be bound when a handler runs, and the other way round.
            yield from _events([*node.body, *node.orelse])
            yield from _events([*node.handlers, *node.finalbody])
        case _:
            if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
                yield node.name, True
            if isinstance(node, ast.MatchMapping) and node.rest:
                yield node.rest, True
            yield from _events(ast.iter_child_nodes(node))
