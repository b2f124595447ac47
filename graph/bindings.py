"""Bindings: what assignments do to names, attributes and containers, and what annotations promise of them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.cells import Cells
from graph.facts import Name, NameUse, Touch
from graph.places import key_of
from graph.values import Annotate, Overwrite, SetItem, Store, Tag, Unpack, value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graph.frames import Frame
    from graph.model import Node

SMALLEST_SIZE = 2  # 0 and 1 count and switch
_TRANSPARENT = frozenset({"Optional", "Union", "Annotated", "Final", "ClassVar", "Required", "NotRequired"})
_SEQUENCES = frozenset(
    {"list", "List", "tuple", "Tuple", "set", "Set", "Sequence", "Iterable", "Iterator", "Generator", "Collection"}
)
_MAPPINGS = frozenset({"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict"})


class Bindings(Cells):
    """Binds targets to the values of cells."""

    def __init__(self, module: str, data: bytes, nodes: Iterable[Node]) -> None:
        super().__init__(module, data, nodes)
        self.exports: tuple[str, ...] | None = None

    def expression(self, node: ast.expr | None) -> str:
        """Read an expression and return the cell of its value; empty when it can hold nothing that matters."""
        raise NotImplementedError

    # --- names --------------------------------------------------------------------------------------------------------------------

    def bind(self, name: str, static: Name, binder: str = "") -> str:
        """Bind a name of the scope that is read and return the cell of the definition."""
        frame = self.frame
        if name in frame.overlay and static.kind == "value":
            return frame.overlay[name]
        if name in frame.elsewhere:
            outer = self._declared_in(frame, name)
            self.out.uses.append(NameUse(self.statement, outer.slot, name, writes=True))
            self.out.names.setdefault(outer.slot, {}).setdefault(name, []).append(static)
            outer.counts.setdefault(name, 2)
            return outer.merged(name)
        cell = frame.define(name)
        self.out.definitions[cell] = binder or self.statement
        self.out.names.setdefault(frame.slot, {}).setdefault(name, []).append(static)
        self.out.uses.append(NameUse(self.statement, frame.slot, name, writes=True))
        return cell

    def _declared_in(self, frame: Frame, name: str) -> Frame:
        outer: Frame = frame
        while outer.parent is not None:
            outer = outer.parent
            if frame.elsewhere[name] == "nonlocal" and outer.kind == "function" and outer.owns(name):
                return outer
        return outer

    def assign(self, target: ast.expr, cell: str, node: ast.expr | None = None) -> None:
        """Bind a target to the values of a cell; `node` is the expression where there is one."""
        if isinstance(target, ast.Name):
            self._assign_name(target.id, cell, node)
        elif isinstance(target, ast.Attribute):
            self._assign_attribute(target, cell)
        elif isinstance(target, ast.Subscript):
            self.store_item(self.expression(target.value), target.slice, self.expression(target.slice), cell)
            if isinstance(target.value, ast.Name):
                self.overwrite(target.value.id, key_of(target.slice), cell)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, cell)
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target, cell, node)

    def _assign_name(self, name: str, cell: str, node: ast.expr | None) -> None:
        dotted = self.text_of(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""
        into = self.bind(name, Name("alias", dotted) if dotted else Name("value"))
        self.flow(cell, into)
        self.state_size(name, into, node)
        if name == "__all__" and self.frame.kind == "module" and isinstance(node, (ast.List, ast.Tuple)):
            self.exports = tuple(
                part.value for part in node.elts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )

    def state_size(self, name: str, cell: str, node: ast.expr | None) -> None:
        """A variable that is given a whole number may be a size: its values are followed back to it."""
        match node:
            case ast.Constant(value=int(number)) if number >= SMALLEST_SIZE:
                inside, kind = self.frame.slot.partition(":")[2], "attr" if self.frame.kind == "class" else "var"
                self.originate(cell, f"{self.module}:{inside}/{kind}.{name}")

    def _unpack(self, target: ast.Tuple | ast.List, cell: str, node: ast.expr | None) -> None:
        parts = target.elts
        stars = [place for place, part in enumerate(parts) if isinstance(part, ast.Starred)]
        for place, part in enumerate(parts):
            into = self.fresh() if cell else ""
            if stars and place == stars[0]:
                self.watch(cell, Unpack(place, into, self.statement, stop=len(parts) - 1 - place))
            else:
                self.watch(
                    cell, Unpack(place - len(parts) if stars and place > stars[0] else place, into, self.statement)
                )
            self.assign(part, into)

    # --- attributes and containers ------------------------------------------------------------------------------------------------

    def _assign_attribute(self, target: ast.Attribute, cell: str) -> None:
        self.set_attribute(target.value, self.expression(target.value), target.attr, cell)

    def set_attribute(self, receiver: ast.expr, base: str, name: str, cell: str) -> None:
        """Set an attribute of what `base` holds to the values of a cell."""
        frame = self.frame
        method = frame.kind == "function" and frame.parent is not None and frame.parent.kind == "class"
        first = self.out.functions[frame.slot].parameters[:1] if method else ()
        if frame.parent is not None and first and isinstance(receiver, ast.Name) and receiver.id == first[0].name:
            self.out.attributes.setdefault(frame.parent.slot, set()).add(name)
        else:
            self.out.outside.add(name)
        if base:
            self.out.touches.append(Touch(self.statement, base, name, writes=True, cell=cell))
            self.watch(base, Store(name, cell, self.statement))

    def store_item(self, base: str, key: ast.expr, by: str, cell: str) -> None:
        """Store the values of a cell under a key."""
        if base and cell:
            known = key_of(key)
            self.watch(base, SetItem(known, cell, self.statement, "" if known else by))

    def overwrite(self, name: str, key: str, cell: str) -> None:
        """Start a new version of a container in which one key holds nothing but these values."""
        environment = self.frame.environment
        reached = (environment or {}).get(name, ())
        if environment is None or not key or len(reached) != 1 or name in self.frame.overlay:
            return
        into = f"{reached[0]}'{self.fresh('version').rpartition('/')[2]}"
        self.watch(reached[0], Overwrite(key, cell, into))
        self.out.definitions[into] = self.statement
        self.out.joins[into] = (reached[0], into)
        environment[name] = (into,)

    # --- annotations --------------------------------------------------------------------------------------------------------------

    def annotation(self, node: ast.expr | None, into: str) -> None:
        """Say what an annotation promises: instances of the classes that it names, containers of them."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.parse(node.value, mode="eval").body
            except SyntaxError:
                return
            before, self.lines = self.lines, [0] * (node.end_lineno or 1)
            self._annotation(node, into)
            self.lines = before
        elif node is not None:
            self._annotation(node, into)

    def _annotation(self, node: ast.expr, into: str) -> None:
        if isinstance(node, ast.BinOp):
            self._annotation(node.left, into)
            self._annotation(node.right, into)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            said = into.endswith("@return") and into.removesuffix("@return") in self.out.returning
            self.watch(self.expression(node), Annotate(into, ours=said))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.annotation(node, into)
        elif isinstance(node, ast.Subscript):
            self._generic(self.text_of(node.value).rpartition(".")[2], node.slice, into)

    def _generic(self, head: str, inner: ast.expr, into: str) -> None:
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if head in _TRANSPARENT:
            for part in parts[: 1 if head == "Annotated" else None]:
                self.annotation(part, into)
        elif head in ("type", "Type"):
            self.flow(self.expression(inner), into)
        elif head in _SEQUENCES or head in _MAPPINGS:
            made = f"{into}%"
            self.hold(into, value(Tag.LIST if head in _SEQUENCES else Tag.DICT, made))
            self.annotation(parts[-1] if head in _MAPPINGS else parts[0], f"{made}[*]")
            self.flow(f"{made}[*]", f"{made}[]")
        else:
            self.expression(inner)
