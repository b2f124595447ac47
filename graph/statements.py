"""Statements as constraints: where values flow in the order in which the code runs, and which definitions reach which use."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.expressions import Expressions
from graph.facts import Import, Name
from graph.frames import Environment, bound_names, merge
from graph.places import key_of
from graph.values import Annotate, Enter, Raise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from graph.model import Node

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Statements(Expressions):
    """Reads statements of one file in their order."""

    def __init__(self, module: str, data: bytes, nodes: Iterable[Node], *, package: bool) -> None:
        super().__init__(module, data, nodes)
        self.package = package
        self.loops: list[_Loop] = []

    def definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """Read a function or class, its body included."""
        raise NotImplementedError

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Read statements in order."""
        for node in body:
            before = self.statement
            self.statement = self.statements.get(self.start(node), before)
            self._one(node)
            self.statement = before

    def _one(self, node: ast.stmt) -> None:
        if isinstance(node, _DEFINITIONS):
            self.definition(node)
            return
        method = _STATEMENTS.get(type(node))
        if method is not None:
            method(self, node)

    # --- values -------------------------------------------------------------------------------------------------------------------

    def expression_statement(self, node: ast.Expr) -> None:
        """Read an expression that stands alone."""
        self.expression(node.value)
        self._updated(node.value)

    def _updated(self, node: ast.expr) -> None:
        """`name.update({...})` overwrites the keys that it writes out."""
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="update"), args=[ast.Dict() as given]):
                for key, part in zip(given.keys, given.values, strict=True):
                    self.overwrite(name, key_of(key), self.expression(part) if isinstance(part, ast.Name) else "")

    def assign_statement(self, node: ast.Assign) -> None:
        """Read an assignment."""
        self._assignment(node.targets, node.value)

    def _assignment(self, targets: Sequence[ast.expr], node: ast.expr) -> None:
        target = targets[0]
        paired = isinstance(target, ast.Tuple) and isinstance(node, ast.Tuple) and len(target.elts) == len(node.elts)
        if len(targets) == 1 and paired and not any(isinstance(p, ast.Starred) for p in (*target.elts, *node.elts)):  # type: ignore[attr-defined]
            cells = [self.expression(part) for part in node.elts]  # type: ignore[attr-defined]
            for part, cell, source in zip(target.elts, cells, node.elts, strict=True):  # type: ignore[attr-defined]
                self.assign(part, cell, source)
            return
        cell = self.expression(node)
        for target in targets:
            self.assign(target, cell, node)

    def annotated(self, node: ast.AnnAssign) -> None:
        """Read an annotated assignment, or a field."""
        cell = self.expression(node.value)
        if isinstance(node.target, ast.Name):
            into = self.bind(node.target.id, Name("value"))
            self.flow(cell, into)
            self.state_size(node.target.id, into, node.value)
            self.annotation(node.annotation, into)
            return
        held = self.fresh("annotated")
        self.flow(cell, held)
        self.annotation(node.annotation, held)
        self.assign(node.target, held, node.value)

    def augmented(self, node: ast.AugAssign) -> None:
        """Read `name += value`."""
        right = self.expression(node.value)
        target = node.target
        if isinstance(target, ast.Name):
            left = self.name(ast.Name(target.id, ast.Load()))
        elif isinstance(target, ast.Attribute):
            left = self.attribute(target)
        else:
            left = self.subscript(target)
        self.assign(target, self.operator(node.op, left, right, augmented=True))

    def return_statement(self, node: ast.Return) -> None:
        """Read a return, behind which nothing is reached."""
        if node.value is not None:
            self._return(node.value)
        self.frame.environment = None

    def _return(self, node: ast.expr) -> None:
        """Read what a function returns; a conditional returns each of its sides, so that a parameter among them is seen."""
        if isinstance(node, ast.IfExp):
            self.expression(node.test)
            self._return(node.body)
            self._return(node.orelse)
        elif isinstance(node, ast.BoolOp):
            for part in node.values:
                self._return(part)
        elif isinstance(node, ast.Name):
            for cell in self.name_cells(node.id):
                self.result(cell)
        else:
            self.result(self.expression(node))

    def raise_statement(self, node: ast.Raise) -> None:
        """Read a raise."""
        self.watch(self.expression(node.exc), Raise(self.statement))
        self.expression(node.cause)
        self.frame.environment = None

    def assert_statement(self, node: ast.Assert) -> None:
        """Read an assert."""
        self.expression(node.test)
        self.expression(node.msg)

    def delete(self, node: ast.Delete) -> None:
        """Read a del."""
        for target in node.targets:
            if isinstance(target, ast.Name):
                if self.frame.environment is not None:
                    self.frame.environment.pop(target.id, None)
            else:
                for child in ast.iter_child_nodes(target):
                    if isinstance(child, ast.expr):
                        self.expression(child)

    # --- branches and loops -------------------------------------------------------------------------------------------------------

    def if_statement(self, node: ast.If) -> None:
        """Read a condition and both branches."""
        self.truth(node.test)
        before = merge([self.frame.environment])
        self._narrow(node.test)
        self.block(node.body)
        after, self.frame.environment = self.frame.environment, before
        self.block(node.orelse)
        self.frame.environment = merge([after, self.frame.environment])

    def _narrow(self, test: ast.expr) -> None:
        """`if isinstance(name, C)`: in the branch, the name may hold an instance of C as well."""
        for part in test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]:
            match part:
                case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id=name), kinds]) if self.frame.owns(name):
                    environment = self.frame.environment
                    if environment is None or name in self.frame.overlay:
                        continue
                    reached = self.frame.reaching(name)
                    into = f"{reached[0]}?{self.fresh('isinstance').rpartition('/')[2]}"
                    for cell in reached:
                        self.flow(cell, into)
                    for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
                        self.watch(self.expression(kind), Annotate(into))
                    self.out.joins[into] = reached
                    environment[name] = (into,)

    def for_statement(self, node: ast.For | ast.AsyncFor) -> None:
        """Read a for loop."""
        self._loop(node, node.target, self.iterate(self.expression(node.iter)))

    def while_statement(self, node: ast.While) -> None:
        """Read a while loop."""
        self._loop(node, None, "")

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, target: ast.expr | None, elements: str) -> None:
        """Read a loop: what its body binds comes around to its head."""
        frame = self.frame
        body: list[ast.AST] = [*node.body] if target is None else [target, *node.body]
        names = [
            name for name in bound_names(body, walrus=self.walrus)[0] if frame.owns(name) and frame.counts[name] > 1
        ]
        around = {name: f"{frame.merged(name)}@{self.fresh('loop').rpartition('/')[2]}" for name in names}
        heads: dict[str, tuple[str, ...]] = {
            name: frame.reaching(name) if name in (frame.environment or {}) else () for name in names
        }
        for name, cell in around.items():
            if frame.environment is not None:
                frame.environment[name] = (cell,)
        if isinstance(node, ast.While):
            self.truth(node.test)
        loop = _Loop(merge([frame.environment]))
        self.loops.append(loop)
        if target is not None:
            self.assign(target, elements)
            self._count(target)
        self.block(node.body)
        self.loops.pop()
        ends = merge([frame.environment, *loop.continues]) or {}
        for name, cell in around.items():
            found = tuple(dict.fromkeys((*heads[name], *(d for d in ends.get(name, ()) if d != cell))))
            self.out.joins[cell] = found
            for definition in found:
                self.flow(definition, cell)
        frame.environment = merge([loop.head, ends]) if target is not None else loop.head
        self.block(node.orelse)
        frame.environment = merge([frame.environment, *loop.breaks])

    def _count(self, target: ast.expr) -> None:
        for part in ast.walk(target):
            if isinstance(part, ast.Name) and self.frame.owns(part.id):
                self.counting.update(self.frame.reaching(part.id))

    def jump(self, node: ast.stmt) -> None:
        """Read a break or continue."""
        if self.loops:
            (self.loops[-1].breaks if isinstance(node, ast.Break) else self.loops[-1].continues).append(
                self.frame.environment
            )
        self.frame.environment = None

    def with_statement(self, node: ast.With | ast.AsyncWith) -> None:
        """Read a with statement."""
        for item in node.items:
            cell = self.expression(item.context_expr)
            self.out.contexts[self.statement] = (*self.out.contexts.get(self.statement, ()), cell)
            into = self.fresh() if cell else ""
            self.watch(cell, Enter(into, self.statement))
            if item.optional_vars is not None:
                self.assign(item.optional_vars, into)
        self.block(node.body)

    def try_statement(self, node: ast.Try | ast.TryStar) -> None:
        """Read a try statement: a handler sees what was bound before and inside."""
        frame = self.frame
        before = merge([frame.environment])
        defined = dict(frame.defined)
        self.block(node.body)
        anywhere = merge([before, frame.environment, self._since(defined)])
        self.block(node.orelse)
        after = [frame.environment]
        for handler in node.handlers:
            frame.environment = merge([anywhere])
            statement, self.statement = self.statement, self.statements.get(self.start(handler), self.statement)  # type: ignore[arg-type]
            cell = self.expression(handler.type)
            if handler.name:
                into = self.bind(handler.name, Name("value"))
                self.watch(cell, Annotate(into))
            self.block(handler.body)
            self.statement = statement
            after.append(frame.environment)
        reached = merge(after)
        frame.environment = merge([reached, anywhere]) if reached is None and node.finalbody else reached
        self.block(node.finalbody)
        if reached is None:
            frame.environment = None

    def _since(self, defined: dict[str, int]) -> Environment:
        """Return the definitions that were made since `defined` was noted."""
        return {
            name: tuple(f"{self.frame.merged(name)}#{number}" for number in range(defined.get(name, 0), count))
            for name, count in self.frame.defined.items()
            if count > defined.get(name, 0)
        }

    def match_statement(self, node: ast.Match) -> None:
        """Read a match statement."""
        subject = self.expression(node.subject)
        before, after = self.frame.environment, []
        for case in node.cases:
            self.frame.environment = None if before is None else dict(before)
            self._pattern(case.pattern, subject)
            self.expression(case.guard)
            self.block(case.body)
            after.append(self.frame.environment)
        self.frame.environment = merge([*after, before])

    def _pattern(self, pattern: ast.pattern, subject: str) -> None:
        """Bind the names of a pattern; a name for the whole subject holds its values, a class pattern an instance."""
        for part in ast.walk(pattern):
            if isinstance(part, ast.MatchAs) and part.name:
                into = self.bind(part.name, Name("value"))
                if isinstance(part.pattern, ast.MatchClass):
                    self.watch(self.expression(part.pattern.cls), Annotate(into))
                elif part is pattern:
                    self.flow(subject, into)
            elif isinstance(part, ast.MatchStar) and part.name:
                self.bind(part.name, Name("value"))
            elif isinstance(part, ast.MatchMapping) and part.rest:
                self.bind(part.rest, Name("value"))
            elif isinstance(part, ast.MatchValue):
                self.expression(part.value)

    # --- imports ------------------------------------------------------------------------------------------------------------------

    def import_statement(self, node: ast.Import | ast.ImportFrom) -> None:
        """Read an import."""
        base = self._base(node) if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if alias.name == "*":
                self.out.imports.append(Import("", base, "*", ""))
                continue
            label = alias.asname or (alias.name if base else alias.name.partition(".")[0])
            slot = self.import_slots.get((self.start(node), label), self.statement)
            before, self.statement = self.statement, slot
            target = f"{base}.{alias.name}" if base else alias.name if alias.asname else label
            cell = self.bind(label, Name("import" if base else "module", target), slot)
            self.statement = before
            self.out.imports.append(Import(cell, base or target, alias.name if base else "", slot))

    def _base(self, node: ast.ImportFrom) -> str:
        """Return the absolute name of the module of a from-import."""
        if not node.level:
            return node.module or ""
        parts = self.module.split(".") if self.package else self.module.split(".")[:-1]
        kept = parts[: len(parts) - node.level + 1]
        return ".".join((*kept, *([node.module] if node.module else [])))


_STATEMENTS: Mapping[type[ast.stmt], Callable[..., None]] = {
    ast.Assign: Statements.assign_statement,
    ast.AnnAssign: Statements.annotated,
    ast.AugAssign: Statements.augmented,
    ast.Expr: Statements.expression_statement,
    ast.Return: Statements.return_statement,
    ast.If: Statements.if_statement,
    ast.For: Statements.for_statement,
    ast.AsyncFor: Statements.for_statement,
    ast.While: Statements.while_statement,
    ast.With: Statements.with_statement,
    ast.AsyncWith: Statements.with_statement,
    ast.Try: Statements.try_statement,
    ast.TryStar: Statements.try_statement,
    ast.Match: Statements.match_statement,
    ast.Import: Statements.import_statement,
    ast.ImportFrom: Statements.import_statement,
    ast.Raise: Statements.raise_statement,
    ast.Break: Statements.jump,
    ast.Continue: Statements.jump,
    ast.Delete: Statements.delete,
    ast.Assert: Statements.assert_statement,
}


class _Loop:
    """A loop that is read: what reaches its head, and its ways out."""

    def __init__(self, head: Environment | None) -> None:
        self.head = head
        self.breaks: list[Environment | None] = []
        self.continues: list[Environment | None] = []
