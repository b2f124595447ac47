"""Scopes: how a function, lambda or class is entered and left, what its parameters are, and what it returns."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from graph.bindings import Bindings
from graph.facts import Access, FunctionFacts, Parameter
from graph.frames import Frame, bound_names
from graph.values import Tag, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from graph.model import Node

_MAKES = "()"  # among the parameters that a function passes on: it makes an instance of its class


class Scopes(Bindings):
    """Enters and leaves the scopes of one file."""

    def __init__(self, module: str, data: bytes, nodes: Iterable[Node]) -> None:
        super().__init__(module, data, nodes)
        self.walrus = b":=" in data
        self.passes: dict[str, dict[str, None]] = {}
        self.made_of_class: dict[str, str] = {}  # cells of `cls(...)` in class methods, with the method

    def enter(self, slot: str, kind: str, body: Sequence[ast.AST]) -> Frame:
        """Make a scope the one that is read, and return the scope around it."""
        outer = self.frame
        overlay = dict(outer.overlay) if kind == "function" else {}
        self.frame = Frame(slot, kind, outer, *bound_names(body, walrus=self.walrus), overlay=overlay)
        self.out.names[slot] = {}
        return outer

    def leave(self, outer: Frame) -> None:
        """Go back to the scope around the one that is read."""
        frame = self.frame
        self.merge_definitions()
        if frame.slot in self.out.functions and frame.slot in self.passes:
            known = self.out.functions[frame.slot]
            passed = tuple(self.passes[frame.slot])
            makes = _MAKES in passed
            self.out.functions[frame.slot] = replace(known, passes=tuple(p for p in passed if p != _MAKES), makes=makes)
        self.frame = outer

    def merge_definitions(self) -> None:
        """Let all definitions of a name reach the cell that other scopes read."""
        for name, count in self.frame.defined.items():
            for number in range(count):
                self.flow(f"{self.frame.merged(name)}#{number}", self.frame.merged(name))

    def declare(
        self, slot: str, arguments: ast.arguments, body: Sequence[ast.AST], access: Access, *, setter: bool = False,
        known: FunctionFacts | None = None,
    ) -> None:  # fmt: skip
        """Declare a function or lambda: its frame with its parameters; annotations and defaults belong to the scope around it."""
        outer = self.frame
        defaults = self._defaults(arguments)
        owner = outer.slot if outer.kind == "class" else ""
        self.enter(slot, "function", body)
        frame = self.frame
        listed = _parameters(arguments)
        for argument, _ in listed:
            frame.counts[argument.arg] += 1
            for name in frame.overlay.keys() & {argument.arg}:
                del frame.overlay[name]
        found = tuple(
            Parameter(argument.arg, self._parameter(argument.arg, slot, known), kind, defaults.get(argument.arg, ""))
            for argument, kind in listed
        )
        self.out.functions[slot] = FunctionFacts(slot, found, access, setter, generator=False, passes=(), owner=owner)
        self.frame = outer
        for (argument, kind), parameter in zip(listed, found, strict=True):
            self.flow(defaults.get(argument.arg, ""), parameter.cell)
            if kind == "star":
                self.hold(parameter.cell, value(Tag.LIST, f"{slot}*"))
            elif kind == "double-star":
                self.hold(parameter.cell, value(Tag.DICT, f"{slot}**"))
            else:
                self.annotation(argument.annotation, parameter.cell)
        self.frame = frame

    def _parameter(self, name: str, slot: str, known: FunctionFacts | None) -> str:
        cell = self.frame.define(name)
        if known is not None:  # whether the body binds it again decides about its cell
            cell = next(p.cell for p in known.parameters if p.name == name)
        self.out.definitions[cell] = f"{slot}/param.{name}"
        return cell

    def _defaults(self, arguments: ast.arguments) -> dict[str, str]:
        positional = [*arguments.posonlyargs, *arguments.args]
        named = positional[len(positional) - len(arguments.defaults) :] if arguments.defaults else []
        pairs = [
            *zip(named, arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        return {argument.arg: self.expression(default) for argument, default in pairs if default is not None}

    def lambda_function(self, node: ast.Lambda) -> str:
        """Read a lambda and return its slot."""
        slot = self.scopes.get(self.start(node)) or self.fresh("lambda")
        before = self.statement
        outer = self.frame
        self.declare(slot, node.args, [node.body], Access.PLAIN)
        self.result(self.expression(node.body))
        self.statement = before
        self.leave(outer)
        return slot

    def called_class(self, node: ast.Call, into: str) -> None:
        """Note a call of the class that a class method was called on."""
        frame = self.frame
        facts = self.out.functions.get(frame.slot)
        of_class = facts is not None and facts.access is Access.CLASS and facts.parameters
        if of_class and isinstance(node.func, ast.Name) and node.func.id == of_class[0].name:
            self.made_of_class[into] = frame.slot

    def result(self, cell: str, *, yields: bool = False) -> None:
        """Note what the function that is read returns or yields."""
        frame: Frame | None = self.frame
        while frame is not None and frame.kind != "function":
            frame = frame.parent
        if frame is None:
            return
        if yields:
            self.out.functions[frame.slot] = replace(self.out.functions[frame.slot], generator=True)
            self.flow(cell, f"{frame.slot}@yield")
            return
        self.out.returns[frame.slot] = None
        if cell:
            self.out.returning.add(frame.slot)
        if self.made_of_class.get(cell) == frame.slot:
            self.passes.setdefault(frame.slot, {})[_MAKES] = None
            return
        plain = (p for p in self.out.functions[frame.slot].parameters if p.kind not in ("star", "double-star"))
        parameter = next((p.name for p in plain if p.cell == cell), None)
        if parameter is None:
            self.flow(cell, f"{frame.slot}@return")
        else:
            self.passes.setdefault(frame.slot, {})[parameter] = None


def _parameters(arguments: ast.arguments) -> list[tuple[ast.arg, str]]:
    found = [(argument, "positional") for argument in arguments.posonlyargs]
    found += [(argument, "either") for argument in arguments.args]
    found += [(arguments.vararg, "star")] if arguments.vararg else []
    found += [(argument, "keyword") for argument in arguments.kwonlyargs]
    return found + ([(arguments.kwarg, "double-star")] if arguments.kwarg else [])
