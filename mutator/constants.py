"""What numbers the sources give to names: constants, fields, options and arguments, followed to the literals that state them.

An expression is evaluated in a *world*: where a parameter or a field has several values, the world says which call site is meant, so that
width and heads come out of the same constructor call. With other values for some literals the same world shows what an edit would change.
Not followed: numbers that are read from files, attributes of objects that no class declares, and names that are bound more than once.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from math import ceil, floor, sqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.options import option_name
from graph.syntax import BindingKind, descend, dotted, field_of, parts, text_of
from graph.values import Tag
from mutator.stated import (
    Unknown,
    assigned,
    call_at,
    callers,
    default_of,
    entry_of,
    given_argument,
    given_field,
    is_dataclass,
    keyword,
    settings_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tree_sitter import Node as SyntaxNode

    from graph.syntax import Binding
    from graph.values import Value

Scalar = int | float | bool | str | None
Place = tuple[str, int]  # path and first byte of a literal
World = tuple[tuple[str, str], ...]  # function, class or module -> the call or file that is meant

_WORLDS = 16  # worlds in which one expression is tried
_TRIES = 48  # evaluations of one expression, those that end nowhere included
_DEPTH = 40  # names that are followed through names
_BINARY: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip
_COMPARE: Mapping[str, Callable[[Scalar, Scalar], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,  # type: ignore[dict-item]  # a TypeError is caught
    "is": operator.is_, "is not": operator.is_not,
}  # fmt: skip
_CALLS: Mapping[str, Callable[..., float]] = {
    "int": int, "float": float, "round": round, "max": max, "min": min, "abs": abs, "math.ceil": ceil,
    "math.floor": floor, "math.sqrt": sqrt,
}  # fmt: skip
_CONSTANTS: Mapping[str, Scalar] = {"true": True, "false": False, "none": None}
_NO_CHANGE: Mapping[Place, Scalar] = MappingProxyType({})


class _Undecided(Exception):
    def __init__(self, point: str, options: tuple[str, ...]) -> None:
        super().__init__(point)
        self.point, self.options = point, options


class Reading(NamedTuple):
    """One value of an expression, the world that it holds in, and the literals that it was computed from."""

    value: Scalar
    world: World
    literals: frozenset[Place]


def readings(graph: CodeGraph, expression: SyntaxNode, scope: str, path: str) -> tuple[Reading, ...]:
    """Return the values that an expression of a scope may have, at most 16; empty when the sources do not say."""
    found: list[Reading] = []
    pending, tries = [dict[str, str]()], 0
    while pending and len(found) < _WORLDS and tries < _TRIES:
        world, tries = pending.pop(), tries + 1
        evaluation = _Evaluation(graph, world, _NO_CHANGE)
        try:
            value = evaluation.number(expression, scope, path)
        except _Undecided as choice:
            pending += [world | {choice.point: option} for option in reversed(choice.options)][-_WORLDS:]
        except (Unknown, ArithmeticError, TypeError, ValueError):
            continue
        else:
            found.append(Reading(value, tuple(sorted(world.items())), frozenset(evaluation.literals)))
    return tuple(found)


def value_in(
    graph: CodeGraph, expression: SyntaxNode, scope: str, path: str, world: World, changes: Mapping[Place, Scalar]
) -> Scalar:
    """Evaluate an expression in a world where some literals have other values.

    Raises: Unknown: it depends on more than the world says.
    """
    try:
        return _Evaluation(graph, dict(world), changes).number(expression, scope, path)
    except (_Undecided, ArithmeticError, TypeError, ValueError) as error:
        raise Unknown(text_of(expression)) from error


@dataclass
class _Evaluation:
    """One evaluation: where it may choose, the world decides."""

    graph: CodeGraph
    world: dict[str, str]
    changes: Mapping[Place, Scalar]
    literals: set[Place] = field(default_factory=set)
    depth: int = 0

    def number(self, syntax: SyntaxNode, scope: str, path: str) -> Scalar:
        """Evaluate an expression as seen from a scope."""
        self.depth += 1
        if self.depth > _DEPTH:
            raise Unknown
        try:
            return self._number(syntax, scope, path)
        finally:
            self.depth -= 1

    def _number(self, syntax: SyntaxNode, scope: str, path: str) -> Scalar:
        kind = syntax.type
        if kind in ("integer", "float", "string"):
            return self._literal(syntax, path)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == "identifier":
            return self._name(text_of(syntax), scope)
        if kind == "attribute":
            return self._attribute(syntax, scope, path)
        if kind == "parenthesized_expression":
            return self.number(parts(syntax)[0], scope, path)
        if kind == "call":
            return self._call(syntax, scope, path)
        return self._compound(syntax, scope, path)

    def _literal(self, syntax: SyntaxNode, path: str) -> Scalar:
        place = (path, syntax.start_byte)
        self.literals.add(place)
        text = text_of(syntax)
        if place in self.changes:
            return self.changes[place]
        if syntax.type == "string":
            return "".join(text_of(c) for c in syntax.children if c.type == "string_content")
        return int(text.replace("_", ""), 0) if syntax.type == "integer" else float(text)

    def _compound(self, syntax: SyntaxNode, scope: str, path: str) -> Scalar:
        inner = parts(syntax)
        if syntax.type == "conditional_expression":
            return self.number(inner[0] if self.number(inner[1], scope, path) else inner[2], scope, path)
        if syntax.type == "not_operator":
            return not self.number(inner[0], scope, path)
        if syntax.type == "boolean_operator":
            left = self.number(field_of(syntax, "left"), scope, path)
            stops = not left if text_of(field_of(syntax, "operator")) == "and" else bool(left)
            return left if stops else self.number(field_of(syntax, "right"), scope, path)
        if syntax.type == "unary_operator":
            value = _plain(self.number(field_of(syntax, "argument"), scope, path))
            return (
                {"-": -value, "+": value}[text_of(field_of(syntax, "operator"))]
                if not text_of(syntax).startswith("~")
                else ~int(value)
            )
        if syntax.type == "binary_operator":
            return self._binary(syntax, scope, path)
        if syntax.type == "comparison_operator":
            return self._comparison(syntax, scope, path)
        raise Unknown

    def _binary(self, syntax: SyntaxNode, scope: str, path: str) -> float:
        sign = text_of(field_of(syntax, "operator"))
        left, right = (_plain(self.number(field_of(syntax, side), scope, path)) for side in ("left", "right"))
        if sign == "**":
            if abs(right) > 64 or abs(left) > 1e6:
                raise Unknown
            return float(left**right) if isinstance(left**right, float) else int(left**right)
        if sign not in _BINARY:
            raise Unknown
        return _BINARY[sign](left, right)

    def _comparison(self, syntax: SyntaxNode, scope: str, path: str) -> bool:
        values = [self.number(part, scope, path) for part in parts(syntax)]
        signs = [text_of(child) for child in syntax.children if not child.is_named and child.type != "comment"]
        if len(signs) != len(values) - 1 or any(sign not in _COMPARE for sign in signs):
            raise Unknown
        return all(_COMPARE[sign](a, b) for sign, a, b in zip(signs, values, values[1:], strict=False))

    # --- names ----------------------------------------------------------------------------------------------------------------------------

    def _choose(self, point: str, options: tuple[str, ...]) -> str:
        """Return the option that the world takes; the only one needs no choice."""
        if point in self.world:
            return self.world[point]
        if not options:
            raise Unknown
        if len(options) > 1:
            raise _Undecided(point, options)
        return options[0]

    def _name(self, name: str, scope: str) -> Scalar:
        bound = self.graph.bindings(name, scope)
        if len(bound) != 1:
            raise Unknown
        binding = bound[0]
        if binding.kind is BindingKind.PARAMETER:
            return self._parameter(binding, name)
        if binding.kind is BindingKind.IMPORT:
            target = self._imported(binding)
            if target.kind is not NodeKind.VARIABLE:
                raise Unknown
            return self._name(target.label, target.scope)
        return self._bound(binding, name)

    def _bound(self, binding: Binding, name: str) -> Scalar:
        if binding.kind is not BindingKind.VALUE:
            raise Unknown
        path = self.graph.nodes[binding.slot].path
        overriding = settings_files(self.graph, path) if binding.scope == self.graph.files[path].module else ()
        chosen = self._choose(binding.scope, ("", *overriding)) if overriding else ""
        if chosen:
            others = self.graph.bindings(name, self.graph.files[chosen].module)
            if len(others) == 1:
                return self._bound(others[0], name)
        return self._written(binding.slot)

    def _written(self, slot: str) -> Scalar:
        """Evaluate what the one statement binds that writes a variable or attribute."""
        found = assigned(self.graph, slot)
        if found is None:
            raise Unknown
        statement, value = found
        return self.number(value, statement.scope, statement.path)

    def _imported(self, binding: Binding) -> Node:
        targets = self.graph.targets(binding.slot, EdgeKind.IMPORTS)
        if len(targets) != 1:
            raise Unknown
        return self.graph.nodes[targets[0]]

    def _parameter(self, binding: Binding, name: str) -> Scalar:
        graph, function = self.graph, self.graph.nodes[binding.scope]
        call = graph.nodes.get(self._choose(function.slot, callers(graph, function) or ("",)))
        parameter = graph.nodes[binding.slot]
        if call is not None:
            given = given_argument(graph, call, function, name)
            if given is not None:
                return self._argument(given, call, name)
        default = default_of(graph, parameter)
        if default is None:
            raise Unknown
        return self.number(default, function.scope, function.path)

    def _argument(self, given: SyntaxNode, call: Node, name: str) -> Scalar:
        if given.type != "dictionary_splat":
            return self.number(given, call.scope, call.path)
        value, statement = entry_of(self.graph, parts(given)[0], name, call)
        return self.number(value, statement.scope, statement.path)

    # --- attributes -----------------------------------------------------------------------------------------------------------------------

    def _attribute(self, syntax: SyntaxNode, scope: str, path: str) -> Scalar:
        owner, name = field_of(syntax, "object"), text_of(field_of(syntax, "attribute"))
        base = dotted(owner)
        module = self._module(base, scope) if base else None
        if module is not None:
            return self._name(name, module.slot)
        if base == "self" and (holder := self._class_around(scope)):
            return self._member(holder, name)
        for held in self._held(base, scope) if base else ():
            if held.tag is Tag.INSTANCE and held.name in self.graph.nodes:
                return self._field(held.name, name)
            if held.tag is Tag.NAMESPACE:
                return self._option(held.name.partition(":")[0], name)
        if base.startswith("self.") and base.count(".") == 1:
            return self._through_self(base.removeprefix("self."), name, scope)
        raise Unknown

    def _held(self, base: str, scope: str) -> tuple[Value, ...]:
        """Return what `config` or `self.config` may hold, in the scope that binds its first name."""
        bound = self.graph.bindings(base.partition(".")[0], scope)
        owner = bound[0].scope if bound else scope
        return self.graph.values(f"{owner}>{base}" if ":" in owner else f"{owner}:>{base}")

    def _module(self, base: str, scope: str) -> Node | None:
        bound = self.graph.bindings(base, scope) if "." not in base else ()
        if len(bound) != 1 or bound[0].kind is not BindingKind.IMPORT:
            return None
        targets = self.graph.targets(bound[0].slot, EdgeKind.IMPORTS)
        target = self.graph.nodes[targets[0]] if len(targets) == 1 else None
        return target if target is not None and target.kind is NodeKind.MODULE else None

    def _class_around(self, scope: str) -> str:
        node = self.graph.nodes[scope]
        while node.kind not in (NodeKind.CLASS, NodeKind.MODULE):
            node = self.graph.nodes[node.scope]
        return node.slot if node.kind is NodeKind.CLASS else ""

    def _through_self(self, attribute: str, name: str, scope: str) -> Scalar:
        """Evaluate `self.config.n_layer`, where `self.config = config` says what class it is."""
        holder = self._class_around(scope)
        for slot in self.graph.members(holder, attribute) if holder else ():
            found = assigned(self.graph, slot)
            if found is not None and found[1].type == "identifier":
                statement, value = found
                held = self.graph.held(text_of(value), statement.scope)
                owners = [v.name for v in held if v.tag is Tag.INSTANCE and v.name in self.graph.nodes]
                if len(owners) == 1:
                    return self._field(owners[0], name)
        raise Unknown

    def _member(self, holder: str, name: str) -> Scalar:
        """Evaluate what the class sets an attribute to, where it does so once."""
        found = [slot for slot in self.graph.members(holder, name) if self.graph.nodes[slot].kind is NodeKind.ATTRIBUTE]
        if len(found) != 1:
            raise Unknown
        return self._written(found[0])

    def _field(self, owner: str, name: str) -> Scalar:
        """Evaluate a field of a configuration: as its constructor was called, else its default."""
        graph = self.graph
        if not is_dataclass(graph, owner):
            return self._member(owner, name)
        made = callers(graph, graph.nodes[owner])
        call = graph.nodes.get(self._choose(owner, made) if made else "")
        if call is not None:
            given = given_field(graph, call, owner, name)
            if given is not None:
                try:
                    return self._argument(given, call, name)
                except KeyError:
                    pass  # `**options` has no such key: the default holds
        return self._member(owner, name)

    def _option(self, module: str, name: str) -> Scalar:
        for node in self.graph.files[self.graph.nodes[module].path].nodes:
            if node.kind is NodeKind.CONFIG and node.label == name and node.role == "option":
                call = self.graph.syntax(node)
                default = keyword(call, "default")
                if default is not None and option_name(call) == name:
                    return self.number(default, node.scope, node.path)
        raise Unknown

    # --- calls ----------------------------------------------------------------------------------------------------------------------------

    def _call(self, syntax: SyntaxNode, scope: str, path: str) -> Scalar:
        function, given = dotted(field_of(syntax, "function")), parts(field_of(syntax, "arguments"))
        if function in _CALLS and all(a.type not in ("keyword_argument", "list_splat") for a in given):
            return _CALLS[function](*(_plain(self.number(a, scope, path)) for a in given))
        call = call_at(self.graph, path, syntax)
        ours = [self.graph.nodes[s] for s in self.graph.callees(call)] if call is not None else []
        if call is None or len(ours) != 1 or ours[0].kind is not NodeKind.FUNCTION:
            raise Unknown
        returned = [n for n in descend(field_of(self.graph.syntax(ours[0]), "body")) if n.type == "return_statement"]
        if len(returned) != 1 or not parts(returned[0]):
            raise Unknown
        before = self.world
        self.world = before | {ours[0].slot: call.slot}
        try:
            return self.number(parts(returned[0])[0], ours[0].slot, ours[0].path)
        finally:
            self.world = before


def _plain(value: Scalar) -> float:
    if not isinstance(value, int | float):
        raise Unknown
    return value
