"""The short way to write a kind: a pattern with typed holes, and what to put in its place.

    KIND = rewrite(
        "swap-softmax",
        '''Swap a softmax for another map onto weights that sum to one. Source: ...''',
        family=Family.CALL,
        pattern="torch.nn.functional.softmax($x, dim=$d:int)",
        to={"sparse": "entmax.sparsemax($x, dim=$d)", "sigmoid": "torch.sigmoid($x)"},
        examples=(Example(...), Refusal(...)),
    )

A hole `$x` matches any expression, `$n:int`, `$n:float`, `$n:number`, `$s:str`, `$v:name` and `$f:call` that sort alone; a hole that stands
twice matches equal expressions. A dotted path matches whatever the file calls that import, and is written in the file's own words.
Holes keep their text, and get parentheses where they would fall apart. Source: tinygrad's UPat, ast-grep's rules.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from graph.model import NodeKind
from mutator.callees import meant, spell
from mutator.domain import NOTHING_TO_CHOOSE, Domain, choose
from mutator.edit import EditError, Scalar
from mutator.expected import fill
from mutator.intents import EnsureImport, Intent, ReplaceExpr
from mutator.kind import EditKind, Example, Family, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from graph.code_graph import CodeGraph
    from graph.model import Node

_HOLE = re.compile(r"\$(\w+)(?::(\w+))?")
_PREFIX = "hole_"
_NUMBERS = (int, float)
_SORTS: Mapping[str, Callable[[ast.expr], bool]] = {
    "any": lambda node: True,
    "int": lambda node: _type(node) is int,
    "float": lambda node: _type(node) is float,
    "number": lambda node: _type(node) in _NUMBERS,
    "str": lambda node: _type(node) is str,
    "name": lambda node: isinstance(node, ast.Name),
    "call": lambda node: isinstance(node, ast.Call),
}
_SITES = {
    ast.Call: NodeKind.CALL,
    ast.BinOp: NodeKind.OPERATOR,
    ast.Compare: NodeKind.OPERATOR,
    ast.BoolOp: NodeKind.OPERATOR,
    ast.Constant: NodeKind.LITERAL,
}


def rewrite(
    name: str,
    doc: str,
    *,
    family: Family,
    pattern: str,
    to: str | Mapping[str, str],
    examples: Iterable[Example | Refusal],
) -> EditKind:
    """Make a kind that replaces what a pattern matches by one template, or by one of several that are chosen by name.

    Raises: EditError: the pattern or a template does not parse, or a template has a hole that the pattern does not bind.
    """
    kind = _Rewrite()
    kind.name, kind.family, kind.__doc__ = name, family, doc
    cases = tuple(examples)
    kind.examples = tuple(case for case in cases if isinstance(case, Example))
    kind.refusals = tuple(case for case in cases if isinstance(case, Refusal))
    kind.pattern, sorts = _read(name, pattern)
    kind.sorts = {hole: sort or "any" for hole, sort in sorts}
    kind.templates = {"": to} if isinstance(to, str) else dict(to)
    if type(kind.pattern) not in _SITES:
        raise EditError(f"{name}: {pattern} is no pattern of a call, an operator or a literal; start it with one")
    kind.at = _SITES[type(kind.pattern)]
    for template in kind.templates.values():
        unknown = {hole for hole, _ in _read(name, template)[1]} - kind.sorts.keys()
        if unknown:
            raise EditError(f"{name}: {template} uses ${min(unknown)}, which {pattern} does not bind")
    return kind


class _Rewrite(EditKind):
    pattern: ast.expr
    sorts: Mapping[str, str]
    templates: Mapping[str, str]

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        if _Match(graph, site, self.sorts).of(self.pattern) is None:
            return Reason.NO_SITE
        return choose(to=self.templates) if "" not in self.templates else NOTHING_TO_CHOOSE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        holes = _Match(graph, site, self.sorts).of(self.pattern) or {}
        template, imports = _spelled(graph, site, self.templates[str(choice.get("to", ""))])
        used = {hole for hole, _ in _HOLE.findall(template)}
        braced = _HOLE.sub(r"{\1}", template.replace("{", "{{").replace("}", "}}"))
        text = fill(braced, **{hole: text for hole, text in holes.items() if hole in used})
        return (*imports, ReplaceExpr(site, text))


def _read(name: str, text: str) -> tuple[ast.expr, list[tuple[str, str]]]:
    holes: list[tuple[str, str]] = _HOLE.findall(text)
    unknown = [sort for _, sort in holes if sort and sort not in _SORTS]
    if unknown:
        raise EditError(f"{name}: {text} has a hole of the sort {unknown[0]}; choose one of {', '.join(_SORTS)}")
    try:
        return ast.parse(_HOLE.sub(rf"{_PREFIX}\1", text), mode="eval").body, holes
    except SyntaxError as error:
        raise EditError(f"{name}: {text} is no expression ({error.msg})") from error


def _spelled(graph: CodeGraph, site: Node, template: str) -> tuple[str, tuple[EnsureImport, ...]]:
    """Write the dotted paths of a template as the file of a site writes them, with the imports that this needs."""
    imports: list[EnsureImport] = []

    def written(match: re.Match[str]) -> str:
        text, needed = spell(graph, site, match[0])
        imports.extend(needed)
        return text

    return re.sub(r"(?<![\w.$)\]])[A-Za-z_]\w*(?:\.\w+)+", written, template), tuple(imports)


class _Match(NamedTuple):
    """Matches one site."""

    graph: CodeGraph
    site: Node
    sorts: Mapping[str, str]

    def of(self, pattern: ast.expr) -> dict[str, str] | None:
        """Return hole -> text, None when the site does not match."""
        source = f"({self.graph.text(self.site)})"
        try:
            tree = ast.parse(source, mode="eval").body
        except SyntaxError:
            return None
        bound: dict[str, ast.expr] = {}
        if not self._fits(pattern, tree, bound):
            return None
        return {hole: ast.get_source_segment(source, node) or "" for hole, node in bound.items()}

    def _fits(self, pattern: object, node: object, bound: dict[str, ast.expr]) -> bool:
        if isinstance(pattern, list):
            same = isinstance(node, list) and len(node) == len(pattern)
            return same and all(self._fits(p, n, bound) for p, n in zip(pattern, node, strict=True))  # type: ignore[call-overload]
        if not isinstance(pattern, ast.AST):
            return pattern == node
        if isinstance(pattern, ast.Name) and pattern.id.startswith(_PREFIX):
            hole = pattern.id.removeprefix(_PREFIX)
            if not isinstance(node, ast.expr) or not _SORTS[self.sorts[hole]](node):
                return False
            return ast.dump(bound.setdefault(hole, node)) == ast.dump(node)
        if isinstance(pattern, ast.Name | ast.Attribute) and (path := _dotted(pattern)):
            return isinstance(node, ast.expr) and self._means(_dotted(node), path)
        if isinstance(pattern, ast.Call) and isinstance(node, ast.Call):
            pattern.keywords.sort(key=lambda k: k.arg or "")
            node.keywords.sort(key=lambda k: k.arg or "")
        return type(pattern) is type(node) and all(
            self._fits(getattr(pattern, name, None), getattr(node, name, None), bound)
            for name in pattern._fields
            if name not in ("ctx", "kind")
        )

    def _means(self, written: str, path: str) -> bool:
        if not written:
            return False
        builtin = "." not in path and written == path and not self.graph.bindings(written, self.site.scope)
        return builtin or meant(self.graph, self.site.scope, written) == path


def _type(node: ast.expr) -> type | None:
    number = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return type(number.value) if isinstance(number, ast.Constant) else None


def _dotted(node: ast.expr) -> str:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id.startswith(_PREFIX):
        return ""
    return ".".join((node.id, *reversed(names)))
