"""Files as constraints: what a file, its functions and its classes declare, read into one `FileFacts`.

It reads the abstract syntax tree that `compile` made, in the order in which the code runs, function bodies where they stand. It
never looks at another file: names that the file does not bind itself are cells of its module, which the linker fills.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from graph.facts import Access, ClassFacts, FileFacts, Name, UnitFacts
from graph.frames import Frame, bound_names
from graph.statements import Statements
from graph.values import Decorate, Tag, value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from graph.model import Node

_K = TypeVar("_K")
_V = TypeVar("_V")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PROPERTIES = frozenset({"property", "cached_property", "getter"})
_WRITERS = frozenset({"setter", "deleter"})
_DATACLASSES = frozenset({"dataclass", "define", "frozen", "attrs"})
_DATA_BASES = frozenset({"NamedTuple", "BaseModel"})


def read_facts(  # noqa: PLR0913  # what a file is, and what is known of it
    tree: ast.Module, data: bytes, module: str, nodes: Iterable[Node], *, package: bool, units: Collection[str] = (),
    kept: Mapping[str, UnitFacts] = MappingProxyType({}),
) -> FileFacts:  # fmt: skip
    """Read the facts of a parsed file; `nodes` are those of the file, by which sites are named.

    `units` are the functions whose bodies are read for themselves; those in `kept` have said the same before, and their bodies are
    left out of the tree.
    """
    reader = _Reader(module, data, nodes, package=package, units=units, kept=kept)
    reader.module_body(tree)
    return reader.facts()


class _Reader(Statements):
    """One pass over one tree: modules, functions and classes, down to their statements."""

    def __init__(
        self,
        module: str,
        data: bytes,
        nodes: Iterable[Node],
        *,
        package: bool,
        units: Collection[str],
        kept: Mapping[str, UnitFacts],
    ) -> None:
        super().__init__(module, data, nodes, package=package)
        self.unit_slots, self.kept = frozenset(units), kept
        self.units: dict[str, UnitFacts] = {}

    def definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        if isinstance(node, ast.ClassDef):
            self.class_definition(node)
        else:
            self.function_definition(node)

    def facts(self) -> FileFacts:
        """Join what the units say; the rest of the file comes last and knows the functions best."""
        parts = (*self.units.values(), self.out)
        names: dict[str, dict[str, list[Name]]] = {}
        for part in parts:
            for scope, bound in part.names.items():
                for name, found in bound.items():
                    names.setdefault(scope, {}).setdefault(name, []).extend(found)
        return FileFacts(
            module=self.module, package=self.package, parts=tuple(part.constraints for part in parts), units=self.units,
            functions=_joined(part.functions for part in parts), classes=_joined(part.classes for part in parts),
            names={scope: {name: tuple(found) for name, found in bound.items()} for scope, bound in names.items()},
            exports=self.exports, imports=_listed(part.imports for part in parts),
            free=frozenset().union(*(part.free for part in parts)) - names.get(self.module, {}).keys(),
            outside=frozenset().union(*(part.outside for part in parts)), called=frozenset().union(*(part.called for part in parts)),
            sites=_listed(part.sites for part in parts), accesses=_listed(part.touches for part in parts),
            uses=_listed(part.uses for part in parts), elements=_listed(part.elements for part in parts),
            contexts=_joined(part.contexts for part in parts), definitions=_joined(part.definitions for part in parts),
            joins=_joined(part.joins for part in parts), decorators=_listed(part.decorators for part in parts),
            returns=_joined(part.returns for part in parts),
        )  # fmt: skip

    def module_body(self, tree: ast.Module) -> None:
        """Read a whole file."""
        self.frame = Frame(self.module, "module", None, *bound_names(tree.body, walrus=self.walrus))
        self.frame.elsewhere.clear()
        self.out.names[self.module] = {}
        self.block(tree.body)
        self.merge_definitions()

    def function_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Read a function or method, its body included."""
        slot = self.scopes[self.start(node)]
        before, self.statement = self.statement, slot
        decorators = [self.expression(decorator) for decorator in node.decorator_list]
        written = {
            self.text_of(d.func if isinstance(d, ast.Call) else d).rpartition(".")[2] for d in node.decorator_list
        }
        loops, self.loops = self.loops, []
        known = self.kept[slot].functions[slot] if slot in self.kept else None
        outer = self.frame
        self.declare(
            slot, node.args, node.body, self._access(node, written), setter=bool(written & _WRITERS), known=known
        )
        if slot in self.unit_slots:
            self._unit(slot, node.body, outer)
        else:
            self.block(node.body)
            self.leave(outer)
        self.loops = loops
        self.statement = slot
        if not self.out.functions[slot].generator:
            self.annotation(node.returns, f"{slot}@return")
        self._define(node.name, slot, value(Tag.FUNCTION, slot), node.decorator_list, decorators, "function")
        self.statement = before

    def _unit(self, slot: str, body: Sequence[ast.stmt], outer: Frame) -> None:
        """Read the body of a function for itself, or take what it said before."""
        rest, header = self.out, self.out.functions[slot]
        if slot in self.kept:
            unit = self.kept[slot]
            self.frame = outer
        else:
            unit = self.out = UnitFacts(functions={slot: header})
            self.block(body)
            self.leave(outer)
            self.out = rest
        said = unit.functions[slot]
        whole = replace(header, passes=said.passes, makes=said.makes, generator=said.generator)
        self.units[slot] = unit
        rest.functions[slot] = said if said == whole else whole
        rest.returning |= unit.returning & {slot}
        for owner, names in unit.attributes.items():
            if owner in rest.attributes:
                rest.attributes[owner] |= names
        module = self._module_frame()
        for name in unit.names.get(self.module, ()):
            module.counts.setdefault(name, 2)

    def _module_frame(self) -> Frame:
        frame = self.frame
        while frame.parent is not None:
            frame = frame.parent
        return frame

    def _access(self, node: ast.FunctionDef | ast.AsyncFunctionDef, decorators: set[str]) -> Access:
        if self.frame.kind != "class":
            return Access.PLAIN
        if decorators & (_PROPERTIES | _WRITERS):
            return Access.PROPERTY
        if "staticmethod" in decorators or node.name == "__new__":
            return Access.STATIC
        if "classmethod" in decorators or node.name in ("__init_subclass__", "__class_getitem__"):
            return Access.CLASS
        return Access.METHOD

    def class_definition(self, node: ast.ClassDef) -> None:
        """Read a class and what stands in its body."""
        slot = self.scopes[self.start(node)]
        before, self.statement = self.statement, slot
        decorators = [self.expression(decorator) for decorator in node.decorator_list]
        for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
            self.expression(base)
        written = {
            self.text_of(d.func if isinstance(d, ast.Call) else d).rpartition(".")[2] for d in node.decorator_list
        }
        outer = self.enter(slot, "class", node.body)
        self.out.attributes[slot] = set()
        self.block(node.body)
        fields = tuple(
            s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        )
        bases = tuple(self.text_of(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases)
        self.out.classes[slot] = ClassFacts(
            slot, outer.slot, bases, frozenset(self.frame.counts), frozenset(self.out.attributes[slot]), fields,
            dataclass=bool(written & _DATACLASSES) or bool({base.rpartition(".")[2] for base in bases} & _DATA_BASES),
            abstract=_abstract(node),
        )  # fmt: skip
        for name in fields:
            self.originate(f"{slot}!{name}", f"{slot}/attr.{name}")
        self.leave(outer)
        self.statement = slot
        self._define(node.name, slot, value(Tag.CLASS, slot), node.decorator_list, decorators, "class")
        self.statement = before

    def _define(
        self, name: str, slot: str, held: object, nodes: Sequence[ast.expr], decorators: Sequence[str], kind: str
    ) -> None:
        """Bind a definition to its name, through its decorators, the innermost first."""
        cell = f"{slot}^"
        self.out.constraints[cell, held] = None  # type: ignore[index]  # a Value, given as object to keep the signature short
        for place, (node, decorator) in enumerate(reversed(list(zip(nodes, decorators, strict=True)))):
            written = self.text_of(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2]
            if decorator:
                self.out.decorators.append((decorator, slot))
            if not decorator or written in _PROPERTIES | _WRITERS | {
                "staticmethod",
                "classmethod",
                "abstractmethod",
                "overload",
            }:
                continue
            into = f"{slot}^{place}"
            self.watch(decorator, Decorate(cell, into, slot))
            cell = into
        into = self.bind(name, Name(kind, slot), slot)
        self.flow(cell, into)


def _joined(parts: Iterable[Mapping[_K, _V]]) -> dict[_K, _V]:
    """Join mappings, the last of which wins."""
    found: dict[_K, _V] = {}
    for part in parts:
        found.update(part)
    return found


def _listed(parts: Iterable[Sequence[_V]]) -> tuple[_V, ...]:
    return tuple(item for part in parts for item in part)


def _abstract(node: ast.ClassDef) -> bool:
    return any(
        isinstance(d, (ast.Name, ast.Attribute)) and (d.id if isinstance(d, ast.Name) else d.attr) == "abstractmethod"
        for part in node.body
        if isinstance(part, _FUNCTIONS)
        for d in part.decorator_list
    )
