"""Scopes while they are read: which names they bind, and which definitions of a name reach a place.

A name that a scope binds once has one cell. One that it binds several times has a cell per definition, and a read gets the
definitions that reach it: rebinding in straight-line code replaces (a strong update), branches merge, a loop brings its own
definitions around. Readers from other scopes see all definitions merged, since nobody knows when they run.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Definitions = tuple[str, ...]
Environment = dict[str, Definitions]
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(slots=True)
class Frame:
    """One scope that is being read."""

    slot: str
    kind: str  # module, class, function
    parent: Frame | None
    counts: Counter[str]  # bindings per name of the scope
    elsewhere: dict[str, str]  # names declared global or nonlocal
    overlay: dict[str, str] = field(default_factory=dict)  # names of the comprehensions around, with their cells
    environment: Environment | None = field(default_factory=dict)  # None where the code cannot be reached
    defined: Counter[str] = field(default_factory=Counter)

    def merged(self, name: str) -> str:
        """Return the cell of all definitions of a name."""
        return f"{self.slot}>{name}" if self.kind != "module" else f"{self.slot}:>{name}"

    def define(self, name: str) -> str:
        """Return the cell of a new definition, which replaces what reached this place."""
        cell = self.merged(name)
        if self.counts[name] > 1:
            cell = f"{cell}#{self.defined[name]}"
            self.defined[name] += 1
        if self.environment is not None:
            self.environment[name] = (cell,)
        return cell

    def owns(self, name: str) -> bool:
        """Whether the scope binds the name itself."""
        return name in self.counts and name not in self.elsewhere

    def reaching(self, name: str) -> Definitions:
        """Return the definitions of an own name that reach this place."""
        found = (self.environment or {}).get(name)
        return found or (self.merged(name),)


def merge(environments: Iterable[Environment | None]) -> Environment | None:
    """Join what reaches a place from several sides; the sides that cannot be left are no sides."""
    sides = [side for side in environments if side is not None]
    if len(sides) <= 1:
        return dict(sides[0]) if sides else None
    merged: Environment = dict(sides[0])
    for side in sides[1:]:
        for name, found in side.items():
            known = merged.get(name)
            if known is None:
                merged[name] = found
            elif known != found:
                merged[name] = tuple(dict.fromkeys((*known, *found)))
    return merged


def bound_names(body: Sequence[ast.AST], *, walrus: bool = True) -> tuple[Counter[str], dict[str, str]]:
    """Count the bindings of each name in a scope's body, and say which names are declared `global` or `nonlocal`.

    Without `walrus` expressions are not searched, since nothing else in them binds a name of the scope.
    """
    counts: Counter[str] = Counter()
    elsewhere: dict[str, str] = {}
    pending = list(body)
    while pending:
        node = pending.pop()
        counts.update(_bound_by(node))
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(dict.fromkeys(node.names, "global" if isinstance(node, ast.Global) else "nonlocal"))
        if walrus:
            counts.update(_walrus_names(node))
        if not isinstance(node, _SCOPES):
            for name in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, name, None)
                if isinstance(inner, list):
                    pending.extend(inner)
    return counts, elsewhere


def _bound_by(node: ast.AST) -> Iterable[str]:
    """Return the names that a statement binds itself, not those of the statements in it."""
    match node:
        case ast.Assign(targets=targets):
            return [name for target in targets for name in _targets(target)]
        case (
            ast.AnnAssign(target=target)
            | ast.AugAssign(target=target)
            | ast.For(target=target)
            | ast.AsyncFor(target=target)
        ):
            return _targets(target)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.With(items=items) | ast.AsyncWith(items=items):
            return [name for item in items if item.optional_vars is not None for name in _targets(item.optional_vars)]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [alias.asname or alias.name.partition(".")[0] for alias in names]
        case ast.ExceptHandler(name=str(name)):
            return (name,)
        case ast.match_case(pattern=pattern):
            parts = [
                part for part in ast.walk(pattern) if isinstance(part, (ast.MatchAs, ast.MatchStar, ast.MatchMapping))
            ]
            return [n for p in parts if (n := p.rest if isinstance(p, ast.MatchMapping) else p.name)]
        case ast.expr():
            return _targets(node)
    return ()


def _targets(target: ast.expr) -> Iterable[str]:
    if isinstance(target, ast.Name):
        return (target.id,) if isinstance(target.ctx, ast.Store) else ()
    if isinstance(target, ast.Starred):
        return _targets(target.value)
    if isinstance(target, (ast.Tuple, ast.List)):
        return [name for part in target.elts for name in _targets(part)]
    return ()


def _walrus_names(node: ast.AST) -> Iterator[str]:
    """Walk the names that the expressions of a statement bind, those in comprehensions included."""
    pending: list[ast.AST] = [
        child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.expr, ast.withitem))
    ]
    pending += [node] if isinstance(node, ast.expr) else []
    while pending:
        part = pending.pop()
        if isinstance(part, ast.NamedExpr):
            yield part.target.id
        if not isinstance(part, ast.Lambda):
            pending.extend(ast.iter_child_nodes(part))
