"""Outlines: a file printed with some of its statements, whole or shortened, so that what is left is Python again.

A statement is kept whole, as its signature, or as its name alone; the headers around it come with it, at their own indentation. What
is elided inside a function becomes `...`, and binds the names that are asked for: `x = y = ...`. Lines are the author's own, except
for imports, which bring only the names that are wanted. Every definition, and every group of other statements, says `# path:line`.
"""

from __future__ import annotations

import ast
import tokenize
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from graph.units import FUNCTIONS, bindings, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_CACHED_FILES = 512
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
_MANY_HEADERS = (ast.Try, ast.TryStar, ast.Match)  # no header of theirs stands alone


class Level(StrEnum):
    """How much of a statement is kept."""

    BODY = "body"  # all of it
    SIGNATURE = "signature"  # the header of a function, class, loop or `with`
    NAME = "name"  # that it is there


@dataclass(frozen=True, slots=True)
class Block:
    """One indented part of a compound statement: what opens it, and its statements."""

    opens: (
        ast.stmt | ast.ExceptHandler | ast.match_case | str
    )  # a node with a header of its own, or `else` and `finally`
    body: tuple[ast.stmt, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """One parsed file: its lines, and for each statement the one around it."""

    path: str
    lines: tuple[str, ...]
    tree: ast.Module

    @cached_property
    def around(self) -> Mapping[ast.stmt, ast.stmt | None]:
        """The statement that directly encloses each statement."""
        found: dict[ast.stmt, ast.stmt | None] = {}
        pending: list[tuple[ast.stmt | None, Iterable[ast.stmt]]] = [(None, self.tree.body)]
        while pending:
            owner, body = pending.pop()
            for statement in body:
                found[statement] = owner
                pending.extend((statement, block.body) for block in blocks(statement))
        return found

    @cached_property
    def bound(self) -> Mapping[str, tuple[ast.stmt, ...]]:
        """The statements that bind each name of the module, in source order."""
        return binders(self.tree.body)

    def at(self, line: int) -> tuple[ast.stmt, ...]:
        """Return the statements around a line, from the outermost to the innermost."""
        chain: list[ast.stmt] = []
        body: tuple[ast.stmt, ...] = tuple(self.tree.body)
        while inner := next((s for s in body if first_line(s) <= line <= (s.end_lineno or s.lineno)), None):
            chain.append(inner)
            body = tuple(s for block in blocks(inner) for s in block.body)
        return tuple(chain)

    def header(self, owner: ast.stmt | ast.ExceptHandler | ast.match_case, body: tuple[ast.stmt, ...]) -> list[str]:
        """Return the lines that open a block."""
        start = owner.pattern.lineno if isinstance(owner, ast.match_case) else first_line(owner)
        lines = list(self.lines[start - 1 : first_line(body[0]) - 1])
        while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
            lines.pop()
        return lines

    def indent(self, statement: ast.stmt) -> str:
        """Return the white space before a statement."""
        line = self.lines[first_line(statement) - 1]
        return line[: len(line) - len(line.lstrip())]

    def inline(self, statement: ast.stmt) -> bool:
        """Whether a block of the statement begins on the line of its header, so that it cannot be shortened line by line."""
        firsts = (block.body[0] for block in blocks(statement))
        return any(self.lines[s.lineno - 1][: s.col_offset].strip() for s in firsts if not _is_elif(self, statement, s)
                   and not getattr(s, "decorator_list", None))  # fmt: skip


@dataclass
class Outline:
    """What is kept of one file, and how that prints."""

    source: Source
    kept: dict[ast.stmt, Level] = field(default_factory=dict)
    imported: dict[ast.stmt, frozenset[str]] = field(default_factory=dict)  # the names that an import brings
    wanted: frozenset[str] = frozenset()  # names that what is elided still binds, inside the site
    site: ast.stmt | None = None  # the function or block that the outline is about

    def text(self) -> str:
        """Print what is kept; nothing when nothing is."""
        return _Printer(self).print() if self.kept else ""


@lru_cache(maxsize=_CACHED_FILES)
def read_source(path: str, data: bytes) -> Source:
    """Parse a file that is known to be Python."""
    encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
    text = data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    return Source(path, tuple(text.split("\n")), parse(text, path))


def blocks(statement: ast.stmt) -> tuple[Block, ...]:
    """Return the indented parts of a statement, in source order; none for a simple one."""
    found = []
    if isinstance(statement, ast.Match):
        found = [Block(case, tuple(case.body)) for case in statement.cases]
    elif body := getattr(statement, "body", None):
        found = [Block(statement, tuple(body))]
    found += [Block(handler, tuple(handler.body)) for handler in getattr(statement, "handlers", ())]
    for name, word in (("orelse", "else"), ("finalbody", "finally")):
        if last := getattr(statement, name, None):
            found.append(Block(word, tuple(last)))
    return tuple(found)


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Walk the statements of a scope in source order, into loops and branches, not into functions and classes."""
    for statement in body:
        yield statement
        if not isinstance(statement, DEFINITIONS):
            for block in blocks(statement):
                yield from statements(block.body)


def own_names(statement: ast.stmt) -> Iterator[str]:
    """List what a statement binds itself, its blocks left out."""
    if isinstance(statement, DEFINITIONS) or not blocks(statement):
        yield from (name for name, _ in bindings([statement]))
        return
    parts = (ast.stmt, ast.ExceptHandler, ast.match_case)
    yield from (name for name, _ in bindings(n for n in ast.iter_child_nodes(statement) if not isinstance(n, parts)))


def binders(body: Iterable[ast.stmt]) -> Mapping[str, tuple[ast.stmt, ...]]:
    """Return the statements of a scope that bind each name, in source order."""
    found: defaultdict[str, dict[ast.stmt, None]] = defaultdict(dict)
    for statement in statements(body):
        for name in own_names(statement):
            found[name][statement] = None
    return {name: tuple(known) for name, known in found.items()}


def set_attributes(statement: ast.stmt) -> Iterator[str]:
    """List the attributes of names that a statement sets, anywhere in it: `self.x`."""
    targets = (n for n in ast.walk(statement) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store))
    return (f"{n.value.id}.{n.attr}" for n in targets if isinstance(n.value, ast.Name))


def first_line(node: ast.stmt | ast.ExceptHandler) -> int:
    """Return the line that a statement begins on, its decorators included."""
    decorators = node.decorator_list if isinstance(node, DEFINITIONS) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _is_elif(source: Source, owner: ast.stmt, last: ast.stmt) -> bool:
    text = source.lines[last.lineno - 1].encode()[last.col_offset :]
    return isinstance(owner, ast.If) and isinstance(last, ast.If) and text.startswith(b"elif")


class _Printer:
    """One printing of one outline."""

    def __init__(self, outline: Outline) -> None:
        self.outline, self.source, self.kept = outline, outline.source, outline.kept
        self.lines: list[str] = []
        self.printed = 0  # the last source line that was printed: statements may share one
        self.wanted: frozenset[str] = frozenset()  # of the outline, while the site is printed
        self.open: set[ast.stmt] = set()
        for statement in self.kept:
            around = self.source.around[statement]
            while around is not None and around not in self.open:
                self.open.add(around)
                around = self.source.around[around]

    def print(self) -> str:
        self.block(None, tuple(self.source.tree.body), "", inside=False, places=True)
        return "".join(f"{line}\n" for line in self.lines)

    def block(
        self, owner: ast.stmt | None, body: tuple[ast.stmt, ...], indent: str, *, inside: bool, places: bool
    ) -> None:
        """Print a block; `inside` a function or the site what is elided shows, and outside of functions places are said."""
        before, elided = len(self.lines), list[ast.stmt]()
        group = owner is not None and not isinstance(owner, ast.ClassDef)  # its own place covers what stands in it
        for statement in body:
            if statement not in self.kept and statement not in self.open:
                elided.append(statement)
                continue
            self.elided(elided, indent, inside=inside)
            simple = not blocks(statement)
            short = statement not in self.open and self.kept.get(statement) in (Level.SIGNATURE, Level.NAME)
            if places and not short and not (simple and group):
                self.lines.append(f"{indent}# {self.place(statement)}")
            group = simple and not short
            self.statement(statement, indent, inside=inside, places=places)
        self.elided(elided, indent, inside=inside)
        if len(self.lines) == before and indent:
            self.lines.append(f"{indent}...")

    def elided(self, statements: list[ast.stmt], indent: str, *, inside: bool) -> None:
        if statements and inside:
            names = [name for name, _ in bindings(statements) if name in self.wanted]
            self.lines.append(f"{indent}{' = '.join([*dict.fromkeys(names), '...'])}")
        statements.clear()

    def statement(self, statement: ast.stmt, indent: str, *, inside: bool, places: bool) -> None:
        site = statement is self.outline.site
        self.wanted = self.outline.wanted if site else self.wanted
        self.kept_statement(statement, indent, inside=inside or site, places=places)
        self.wanted = frozenset() if site else self.wanted

    def kept_statement(self, statement: ast.stmt, indent: str, *, inside: bool, places: bool) -> None:
        level = self.kept.get(statement)
        if isinstance(statement, IMPORTS) and statement in self.outline.imported:
            self.lines.append(f"{indent}{_narrowed(statement, self.outline.imported[statement])}")
        elif level is Level.BODY or (level is not Level.NAME and self.source.inline(statement)):
            start = max(first_line(statement), self.printed + 1)
            self.printed = statement.end_lineno or statement.lineno
            self.lines.extend(self.source.lines[start - 1 : self.printed])
        elif statement in self.open:
            self.opened(statement, indent, inside=inside, places=places)
        elif level is Level.SIGNATURE and blocks(statement) and not isinstance(statement, _MANY_HEADERS):
            self.lines.extend(self.source.header(statement, blocks(statement)[0].body))
            self.shortened(statement, indent)
        else:
            self.lines.append(f"{indent}{self.named(statement)}")

    def shortened(self, statement: ast.stmt, indent: str) -> None:
        """Put the dots behind a header, on its line if that has no comment."""
        if self.lines[-1].endswith(":"):
            self.lines[-1] += f" ...  # {self.place(statement)}"
        else:
            self.lines.append(f"{indent}    ...  # {self.place(statement)}")

    def named(self, statement: ast.stmt) -> str:
        place = f"  # {self.place(statement)}"
        if isinstance(statement, ast.ClassDef):
            return f"class {statement.name}: ...{place}"
        if isinstance(statement, FUNCTIONS):
            return f"def {statement.name}(*_): ...{place}"
        names = dict.fromkeys([*set_attributes(statement), *own_names(statement)])
        return f"{' = '.join([*names, '...'])}{place}"

    def opened(self, statement: ast.stmt, indent: str, *, inside: bool, places: bool) -> None:
        function = isinstance(statement, FUNCTIONS)
        for block in blocks(statement):
            if isinstance(block.opens, str):
                if block.opens == "else" and _is_elif(self.source, statement, block.body[0]):
                    inner = self.source.indent(blocks(statement)[0].body[0])
                    self.branch(block.body[0], indent, inner, inside=inside, places=places)
                    continue
                self.lines.append(f"{indent}{block.opens}:")
            else:
                self.lines.extend(self.source.header(block.opens, block.body))
            inner = self.source.indent(block.body[0])
            shown = inside and not isinstance(statement, ast.ClassDef)
            self.block(
                statement, block.body, inner, inside=shown or function, places=places and not (function or inside)
            )

    def branch(self, statement: ast.stmt, indent: str, inner: str, *, inside: bool, places: bool) -> None:
        """Print an elif."""
        if statement in self.kept or statement in self.open:
            self.statement(statement, indent, inside=inside, places=places)
        elif inside:
            self.lines.append(f"{indent}else:")
            self.elided([statement], inner, inside=True)

    def place(self, statement: ast.stmt) -> str:
        return f"{self.source.path}:{statement.lineno}"


def _narrowed(statement: ast.Import | ast.ImportFrom, names: frozenset[str]) -> str:
    """Print an import of the names that are wanted alone."""
    aliases = [a for a in statement.names if (a.asname or a.name) in names or a.name.partition(".")[0] in names]
    kept = [a for a in aliases if not a.asname or a.asname in names]
    narrowed: ast.stmt = (
        ast.ImportFrom(statement.module, kept or statement.names, statement.level)
        if isinstance(statement, ast.ImportFrom)
        else ast.Import(kept or statement.names)
    )
    return ast.unparse(ast.fix_missing_locations(narrowed))
