"""What statements read and bind: the facts behind moving, deleting, repeating and extracting them.

Names come from Python's own syntax tree of a statement's text. Attributes and elements belong to the name that they start with; what is
reached through another name for the same object is not seen.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.model import EdgeKind, Node, NodeKind
from mutator.intents import ReplaceExpr, Span
from mutator.layout import line_end, line_start, whole_statement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graph.code_graph import CodeGraph


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a piece of code; attributes and elements count as reads of what they belong to."""

    reads: frozenset[str]
    writes: frozenset[str]  # bound in the scope that the code stands in
    stores: frozenset[str]  # attributes and elements that are set, by the first name: `self` of `self.a[0] = 1`
    kept: frozenset[str]  # names that a lambda or an inner function holds on to
    leaves: bool  # return, yield, await, or a break or continue out of the code
    odd: bool  # global, nonlocal, del, import, definitions, or a look at the frame: locals(), super(), exec()


_FRAMES = frozenset({"locals", "globals", "vars", "eval", "exec", "dir", "super", "__class__"})

# --- names ------------------------------------------------------------------------------------------------------------------------


def text_with_block(graph: CodeGraph, statement: Node) -> str:
    """Return the source of a statement with its block and every clause of it, behind its indentation."""
    whole, data = whole_statement(graph, statement), graph.snapshot.files[statement.path]
    before = data[line_start(data, whole.start_byte) : whole.start_byte].decode().removeprefix("\ufeff")
    indent = before if before.isspace() else " " * (len(before) - len(before.lstrip())) if before[:1].isspace() else ""
    return indent + data[whole.start_byte : whole.end_byte].decode()


def names_of(graph: CodeGraph, *statements: Node) -> Names:
    """Return the names of statements with their blocks."""
    found = [_names(text_with_block(graph, statement)) for statement in statements]
    return Names(
        frozenset().union(*(n.reads for n in found)), frozenset().union(*(n.writes for n in found)),
        frozenset().union(*(n.stores for n in found)), frozenset().union(*(n.kept for n in found)),
        leaves=any(n.leaves for n in found), odd=any(n.odd for n in found),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def parse_block(text: str) -> tuple[ast.stmt, ...]:
    """Parse statements that are indented as in their file, the first line too; empty when that fails."""
    try:
        body = ast.parse(f"if 1:\n{text}" if text[:1].isspace() else text).body
    except SyntaxError:
        return ()
    return tuple(body[0].body if text[:1].isspace() and isinstance(body[0], ast.If) else body)


@lru_cache(maxsize=4096)
def _names(text: str) -> Names:
    body = parse_block(text)
    reader = _Reader()
    for statement in body:
        reader.visit(statement)
    return Names(
        frozenset(reader.reads), frozenset(reader.writes), frozenset(reader.stores), frozenset(reader.kept),
        leaves=reader.leaves, odd=reader.odd or not body,
    )  # fmt: skip


class _Reader(ast.NodeVisitor):
    """Collects the names of statements of one scope."""

    def __init__(self) -> None:
        self.reads: dict[str, None] = {}  # in the order of evaluation
        self.writes: set[str] = set()
        self.stores: set[str] = set()
        self.kept: set[str] = set()
        self.leaves = self.odd = False
        self.loops = 0

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.reads[node.id] = None
            self.odd = self.odd or node.id in _FRAMES
        else:
            self.writes.add(node.id)
            self.odd = self.odd or isinstance(node.ctx, ast.Del)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.reads[node.target.id] = None
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._store(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._store(node)

    def _store(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.stores.add(first_name(node))
            self.odd = self.odd or isinstance(node.ctx, ast.Del)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node, [node.elt])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node, [node.key, node.value])

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, parts: list[ast.expr]
    ) -> None:
        inner = _Reader()
        for part in (*parts, *node.generators):
            inner.visit(part)
        bound = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        self.reads |= dict.fromkeys(n for n in inner.reads if n not in bound)
        self.writes |= inner.writes - bound
        self.stores |= inner.stores
        self.kept |= inner.kept - bound
        self.leaves, self.odd = self.leaves or inner.leaves, self.odd or inner.odd

    def visit_Lambda(self, node: ast.Lambda) -> None:
        inner = _Reader()
        inner.visit(node.body)
        parameters = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        self.reads |= dict.fromkeys(n for n in inner.reads if n not in parameters)
        self.kept |= inner.reads.keys() - parameters
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)

    def visit_For(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        self.loops += 1
        for part in ast.iter_child_nodes(node):
            self.visit(part)
        self.loops -= 1

    visit_AsyncFor = visit_While = visit_For  # noqa: N815  # the names that ast.NodeVisitor asks for

    def visit_Break(self, node: ast.Break | ast.Continue) -> None:
        self.leaves = self.leaves or not self.loops

    def visit_Continue(self, node: ast.Continue) -> None:
        self.visit_Break(node)

    def visit_Return(self, node: ast.AST) -> None:
        self.leaves = True
        self.generic_visit(node)

    visit_Yield = visit_YieldFrom = visit_Await = visit_Return  # noqa: N815

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.writes |= {node.name} if node.name else set()
        self.odd = self.odd or bool(node.name)  # Python deletes the name at the end
        self.generic_visit(node)

    def _odd(self, node: ast.AST) -> None:
        self.odd = True
        self.writes |= {getattr(node, "name", "")} - {""}
        loads = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        self.reads |= dict.fromkeys(sorted(loads))
        self.kept |= loads

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Global = visit_Nonlocal = visit_Delete = _odd  # noqa: N815
    visit_Import = visit_ImportFrom = _odd  # noqa: N815

    def visit_Match(self, node: ast.Match) -> None:
        self._odd(node)


def first_name(node: ast.expr) -> str:
    """Return the name that a chain of attributes, elements and calls starts with; empty when it starts with none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def surely_written(statements: Iterable[ast.stmt]) -> frozenset[str]:
    """Return the names that these statements of one block bind whatever happens, short of an exception."""
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if not (isinstance(statement, ast.AnnAssign) and statement.value is None):
                found |= {
                    n.id
                    for t in targets
                    for n in ast.walk(t)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                }
        elif isinstance(statement, ast.If) and statement.orelse:
            found |= surely_written(statement.body) & surely_written(statement.orelse)
        elif isinstance(statement, ast.With | ast.AsyncWith):
            held = (item.optional_vars for item in statement.items if item.optional_vars is not None)
            found |= {n.id for v in held for n in ast.walk(v) if isinstance(n, ast.Name)} | surely_written(
                statement.body
            )
    return frozenset(found)


def read_first(statements: Iterable[ast.stmt], bound: set[str]) -> list[str]:
    """Return the names that statements of one block may read before they bind them, in order; `bound` grows by what they surely bind."""
    found: list[str] = []
    for statement in statements:
        head = _Reader()
        inner: list[str] = []
        if isinstance(statement, ast.For):
            head.visit(statement.iter)
            around = bound | {n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)}
            inner = [*read_first(statement.body, set(around)), *read_first(statement.orelse, set(bound))]
        elif isinstance(statement, ast.If | ast.While):
            head.visit(statement.test)
            inner = [*read_first(statement.body, set(bound)), *read_first(statement.orelse, set(bound))]
        elif isinstance(statement, ast.With):
            for item in statement.items:
                head.visit(item)
            inner = read_first(statement.body, bound | _with_items(statement))
        else:
            head.visit(statement)
        found += [n for n in (*head.reads, *inner) if n not in found and (n in inner or n not in bound)]
        bound |= surely_written([statement])
    return found


def _with_items(statement: ast.With) -> set[str]:
    held = (item.optional_vars for item in statement.items if item.optional_vars is not None)
    return {n.id for v in held for n in ast.walk(v) if isinstance(n, ast.Name)}


def surely_bound(graph: CodeGraph, name: str, statement: Node) -> bool:
    """Whether a local name is bound where a statement starts: a parameter, or bound before in its block or in one around."""
    if any(b.slot == f"{statement.scope}/param.{name}" for b in graph.bindings(name, statement.scope)):
        return True
    current: Node | None = statement
    while current is not None and current.kind is NodeKind.STATEMENT:
        earlier = [n for n in same_block(graph, current) if n.start < current.start]
        if any(name in surely_written(parse_block(text_with_block(graph, n))) for n in earlier):
            return True
        current = graph.parent(current)
        if current is not None and current.label == "for" and name in _loop_names(text_with_block(graph, current)):
            return True
        if current is not None and current.label == "with" and name in _with_names(text_with_block(graph, current)):
            return True
    return False


def same_block(graph: CodeGraph, statement: Node) -> tuple[Node, ...]:
    """Return the statements of the very block that a statement stands in, itself included: those of `else` are another one."""
    block = whole_statement(graph, statement).parent
    if block is None:
        return (statement,)
    inside = _block_statements(graph, statement)
    return tuple(n for n in inside if block.start_byte <= n.start and n.end <= block.end_byte)


def _block_statements(graph: CodeGraph, statement: Node) -> tuple[Node, ...]:
    """Return the statements next to a statement, itself included, in source order; of an `if` both branches."""
    parent = graph.parent(statement)
    siblings = graph.targets(parent.slot, EdgeKind.CONTAINS) if parent is not None else ()
    return tuple(n for slot in siblings if (n := graph.nodes[slot]).kind is NodeKind.STATEMENT)


def _loop_names(text: str) -> frozenset[str]:
    body = parse_block(text)
    target = body[0].target if body and isinstance(body[0], ast.For) else None
    return frozenset({n.id for n in ast.walk(target) if isinstance(n, ast.Name)} if target is not None else ())


def _with_names(text: str) -> frozenset[str]:
    body = parse_block(text)
    items = body[0].items if body and isinstance(body[0], ast.With) else []
    return frozenset(
        n.id for i in items if i.optional_vars is not None for n in ast.walk(i.optional_vars) if isinstance(n, ast.Name)
    )


# --- places -----------------------------------------------------------------------------------------------------------------------


def next_statement(graph: CodeGraph, statement: Node) -> Node | None:
    """Return the statement that follows in the same block."""
    block = same_block(graph, statement)
    after = block.index(statement) + 1 if statement in block else len(block)
    return block[after] if after < len(block) else None


def with_comments(graph: CodeGraph, statement: Node) -> Span:
    """Return the place of a statement with the comment behind it and those directly above it on lines of their own."""
    data, whole = graph.snapshot.files[statement.path], whole_statement(graph, statement)
    start, first = whole.start_byte, line_start(data, whole.start_byte)
    while first > 0:
        above = line_start(data, first - 1)
        line = data[above:first]
        if not line.lstrip().startswith(b"#") or len(line) - len(line.lstrip()) != whole.start_point[1]:
            break
        start, first = above + len(line) - len(line.lstrip()), above
    end = line_end(data, whole.end_byte)
    behind = data[whole.end_byte : end].rstrip()
    return Span(
        statement.path, start, whole.end_byte + len(behind) if behind.lstrip().startswith(b"#") else whole.end_byte
    )


def exchanged(graph: CodeGraph, first: Node, second: Node) -> tuple[ReplaceExpr, ReplaceExpr]:
    """Return the intents that put two statements of one block in each other's place, comments and all."""
    one, two = with_comments(graph, first), with_comments(graph, second)
    data = graph.snapshot.files[first.path]
    return (
        ReplaceExpr(one, data[two.start : two.end].decode()),
        ReplaceExpr(two, data[one.start : one.end].decode()),
    )
