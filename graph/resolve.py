"""The resolver: what a name, an attribute or a call stands for, across files.

A small abstract interpreter over syntax. A value is a class, a function, a bound method, an instance, a module, or something external by
its import path. Values flow through assignments, attributes of self, returns, loops over containers and from call sites into parameters,
round by round until nothing changes. What it cannot follow has no value, and the graph says `unresolved`.

Idioms of training code: calling an instance of a torch module runs its `forward`; a container of modules has the elements it was built
from. Not covered: star imports, registries, `partial`, containers other than literals and comprehensions.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from graph.model import NodeKind
from graph.syntax import Binding, BindingKind, FileSyntax, Scope, dotted, parts
from graph.walk import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tree_sitter import Node as SyntaxNode

_MAX_VALUES = 16  # an expression that may stand for more is not followed
_MAX_MEMBERS = 3  # x.view(1).transpose(0, 1).sum(): what a chain of results of results is called says nothing any more
_MAX_DEPTH = 60  # expressions inside expressions; deeper ones are not followed
_ROUNDS = 6  # call sites feed parameters at most this deep: a configuration rarely passes through more constructors
_TRANSPARENT = frozenset(
    {"enumerate", "list", "tuple", "reversed", "sorted", "iter", "torch.nn.ModuleList", "torch.nn.Sequential"}
)


class Tag(StrEnum):
    """What sort of thing a value is."""

    MODULE = "module"
    CLASS = "class"
    FUNCTION = "function"
    METHOD = "method"  # a function whose first parameter is already bound
    INSTANCE = "instance"  # of a class in the sources
    EXTERNAL = "external"  # by import path
    MADE = "made"  # what calling an external gave; the name is the external's path


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """One thing that an expression may stand for."""

    tag: Tag
    name: str


Values = frozenset[Value]
_NOTHING: Values = frozenset()


class Resolver:
    """Answers for one set of files. Build it once per snapshot: it settles the parameters first."""

    def __init__(self, files: Mapping[str, FileSyntax]) -> None:
        self.scopes: dict[str, Scope] = {slot: scope for file in files.values() for slot, scope in file.scopes.items()}
        self.modules = {file.module: file for file in files.values()}
        self.parameters: defaultdict[str, set[Value]] = defaultdict(set)
        self._memo: dict[tuple[int | str, str, str], Values] = {}
        self._busy: set[tuple[int | str, str, str]] = set()
        calls = [call for file in files.values() for call in file.calls]
        for _ in range(_ROUNDS):
            before = sum(map(len, self.parameters.values()))
            self._memo.clear()
            for call in calls:
                self._bind_arguments(call.syntax, call.scope)
            if sum(map(len, self.parameters.values())) == before:
                break

    # --- questions ---------------------------------------------------------------------------------------------------------------

    def infer(self, syntax: SyntaxNode, scope: str) -> Values:
        """Return what an expression may stand for when it is evaluated in a scope."""
        return self._once((syntax.id, scope, "value"), lambda: self._infer(syntax, scope))

    def elements(self, syntax: SyntaxNode, scope: str) -> Values:
        """Return what iterating over an expression may give."""
        return self._once((syntax.id, scope, "element"), lambda: self._elements(syntax, scope))

    def _once(self, key: tuple[int | str, str, str], ask: Callable[[], Values]) -> Values:
        """Answer from memory; a value that depends on itself adds nothing."""
        if key in self._memo:
            return self._memo[key]
        if key in self._busy or len(self._busy) > _MAX_DEPTH:
            return _NOTHING
        self._busy.add(key)
        values = ask()
        self._busy.discard(key)
        self._memo[key] = values if len(values) <= _MAX_VALUES else _NOTHING
        return self._memo[key]

    def lookup(self, name: str, scope: str) -> tuple[Binding, ...]:
        """Return the bindings of a name as seen from a scope; class bodies are seen from themselves alone."""
        first = scope
        while scope:
            found = self.scopes[scope]
            if name in found.bindings and (found.kind is not NodeKind.CLASS or scope == first):
                return tuple(found.bindings[name])
            scope = found.parent
        return ()

    def attribute(self, class_slot: str, name: str) -> tuple[Binding, ...]:
        """Return the bindings of an attribute along the bases of a class."""
        for owner in self._lineage(class_slot):
            scope = self.scopes[owner]
            found = (*scope.bindings.get(name, ()), *scope.attributes.get(name, ()))
            if found:
                return found
        return ()

    def bases(self, class_slot: str) -> Values:
        """Return what the bases of a class stand for."""
        scope = self.scopes[class_slot]
        bases = scope.syntax.child_by_field_name("superclasses")
        expressions = (
            () if bases is None else (b for b in bases.named_children if b.type in ("identifier", "attribute"))
        )
        return _NOTHING.union(*(self.infer(b, scope.parent) for b in expressions))

    def imported(self, binding: Binding) -> frozenset[str]:
        """Return the slots, or the import path of the external, that an imported name stands for; empty when it is nowhere."""
        module = binding.scope.partition(":")[0]
        base, _, name = binding.target.rpartition(".")
        found = self._module(base, module) if base and not self._module(binding.target, module) else ""
        if found:
            return frozenset(b.slot for b in self.scopes[found].bindings.get(name, ()))
        return frozenset(value.name for value in self._imported(binding.target, module))

    def external_bases(self, class_slot: str) -> frozenset[str]:
        """Return the import paths of all external classes that a class descends from."""
        return frozenset(
            v.name for owner in self._lineage(class_slot) for v in self.bases(owner) if v.tag is Tag.EXTERNAL
        )

    def callees(self, function: SyntaxNode, scope: str) -> tuple[Value, ...]:
        """Return what calling an expression runs: an instance runs its `__call__`, a torch module's is `forward`."""
        return tuple(sorted({target for value in self.infer(function, scope) for target in self._called(value)}))

    # --- inference ---------------------------------------------------------------------------------------------------------------

    def _infer(self, syntax: SyntaxNode, scope: str) -> Values:
        match syntax.type:
            case "identifier":
                return self._name((syntax.text or b"").decode(), scope)
            case "attribute":
                base, name = syntax.child_by_field_name("object"), syntax.child_by_field_name("attribute")
                return self._member(self.infer(base, scope), (name.text or b"").decode()) if base and name else _NOTHING
            case "call":
                function = syntax.child_by_field_name("function")
                return self._result(self.infer(function, scope)) if function else _NOTHING
            case "parenthesized_expression" | "await" | "type":
                return self.infer(parts(syntax)[0], scope)
            case "conditional_expression":
                first, _, last = parts(syntax)
                return self.infer(first, scope) | self.infer(last, scope)
            case "boolean_operator":
                return _NOTHING.union(*(self.infer(child, scope) for child in parts(syntax)))
            case "subscript":
                base = syntax.child_by_field_name("value")
                return self.elements(base, scope) if base else _NOTHING
        return _NOTHING

    def _name(self, name: str, scope: str) -> Values:
        return self._once((name, scope, "name"), lambda: self._values_of_name(name, scope))

    def _values_of_name(self, name: str, scope: str) -> Values:
        bindings = self.lookup(name, scope)
        if not bindings and name in BUILTINS:
            return frozenset({Value(Tag.EXTERNAL, f"builtins.{name}")})
        return _NOTHING.union(*(self.infer_binding(binding) for binding in bindings))

    def infer_binding(self, binding: Binding) -> Values:
        """Return what one binding of a name may stand for."""
        match binding.kind:
            case BindingKind.CLASS:
                return frozenset({Value(Tag.CLASS, binding.slot)})
            case BindingKind.FUNCTION:
                return frozenset({Value(Tag.FUNCTION, binding.slot)})
            case BindingKind.IMPORT:
                return self._imported(binding.target, binding.scope.partition(":")[0])
            case BindingKind.PARAMETER:
                return self._parameter(binding)
            case BindingKind.VALUE if binding.value is not None:
                return self.infer(binding.value, binding.scope)
            case BindingKind.ELEMENT if binding.value is not None:
                return self.elements(binding.value, binding.scope)
            case BindingKind.OPAQUE if binding.value is not None:  # a field: only its annotation is known
                return self._instances(self.infer(binding.value, binding.scope))
        return _NOTHING

    def _parameter(self, binding: Binding) -> Values:
        owner = self.scopes[self.scopes[binding.scope].parent]
        label = binding.slot.rpartition("/param.")[2]
        if owner.kind is NodeKind.CLASS and label == "self":
            return frozenset({Value(Tag.INSTANCE, owner.slot)})
        if owner.kind is NodeKind.CLASS and label == "cls":
            return frozenset({Value(Tag.CLASS, owner.slot)})
        annotated = self._instances(self.infer(binding.value, owner.slot)) if binding.value else _NOTHING
        return annotated | self.parameters[binding.slot]

    def _imported(self, target: str, module: str) -> Values:
        """Follow an import path: the longest prefix that is a module of ours, then its names; else it is external."""
        found = self._module(target, module)
        if found:
            return frozenset({Value(Tag.MODULE, found)})
        base, _, name = target.rpartition(".")
        found = self._module(base, module) if base else ""
        if found:
            return self._name(name, found) if name in self.scopes[found].bindings else _NOTHING
        return frozenset({Value(Tag.EXTERNAL, target)})

    def _module(self, name: str, importer: str) -> str:
        """Find a module as the interpreter would: from the root, from the folder of a script, from a `src` folder; never itself."""
        folder = importer.rpartition(".")[0]
        beside = (
            f"{folder}.{name}" if folder and folder not in self.modules else name
        )  # a package's own files say `from .`
        return next((t for t in (name, beside, f"src.{name}") if t != importer and t in self.scopes), "")

    def _member(self, values: Values, name: str) -> Values:
        return _NOTHING.union(*(self._member_of(value, name) for value in values))

    def _member_of(self, value: Value, name: str) -> Values:
        match value.tag:
            case Tag.EXTERNAL | Tag.MADE:
                return frozenset({Value(Tag.EXTERNAL, f"{value.name}.{name}")})
            case Tag.MODULE:
                inner = self._module(f"{value.name}.{name}", value.name)
                return frozenset({Value(Tag.MODULE, inner)}) if inner else self._name(name, value.name)
            case Tag.INSTANCE | Tag.CLASS:
                found = _NOTHING.union(*(self.infer_binding(b) for b in self.attribute(value.name, name)))
                if value.tag is Tag.CLASS:
                    return found
                found = found or self._inherited(value.name, name)
                return frozenset(Value(Tag.METHOD, v.name) if v.tag is Tag.FUNCTION else v for v in found)
        return _NOTHING

    def _inherited(self, class_slot: str, name: str) -> Values:
        """Return an external base's attribute when no class of ours sets one: `self.parameters` of a torch module."""
        if self.attribute(class_slot, name):
            return _NOTHING
        return frozenset(Value(Tag.EXTERNAL, f"{base}.{name}") for base in self.external_bases(class_slot))

    def _result(self, functions: Values) -> Values:
        return _NOTHING.union(*(self._result_of(value) for value in functions))

    def _result_of(self, value: Value) -> Values:
        match value.tag:
            case Tag.CLASS:
                return frozenset({Value(Tag.INSTANCE, value.name)})
            case Tag.EXTERNAL:
                members = value.name.removeprefix("torch.nn.functional.").removeprefix("torch.").count(".")
                return frozenset({Value(Tag.MADE, value.name)}) if members <= _MAX_MEMBERS else _NOTHING
            case Tag.FUNCTION | Tag.METHOD:
                scope = self.scopes[value.name]
                return _NOTHING.union(*(self.infer(result, value.name) for result in scope.returns))
            case Tag.INSTANCE | Tag.MADE:
                return self._result(frozenset(self._called(value)))
        return _NOTHING

    def _called(self, value: Value) -> tuple[Value, ...]:
        if value.tag is Tag.MADE:
            return (Value(Tag.EXTERNAL, f"{value.name}.__call__"),)
        if value.tag is not Tag.INSTANCE:
            return () if value.tag is Tag.MODULE else (value,)
        called = bool(self.attribute(value.name, "__call__"))
        name = "forward" if not called and "torch.nn.Module" in self.external_bases(value.name) else "__call__"
        return tuple(
            Value(Tag.METHOD, b.slot) for b in self.attribute(value.name, name) if b.kind is BindingKind.FUNCTION
        )

    def _elements(self, syntax: SyntaxNode, scope: str) -> Values:
        match syntax.type:
            case "list_comprehension" | "generator_expression":
                return self.infer(parts(syntax)[0], scope)
            case "list" | "tuple":
                return _NOTHING.union(*(self.infer(child, scope) for child in parts(syntax)))
            case "identifier":
                return _NOTHING.union(
                    *(self._binding_elements(b) for b in self.lookup((syntax.text or b"").decode(), scope))
                )
            case "attribute":
                base, name = syntax.child_by_field_name("object"), syntax.child_by_field_name("attribute")
                owners = [v.name for v in self.infer(base, scope) if v.tag is Tag.INSTANCE] if base else []
                attributes = (b for o in owners for b in self.attribute(o, (name.text or b"").decode() if name else ""))
                return _NOTHING.union(*(self._binding_elements(b) for b in attributes))
            case "call":
                function, arguments = syntax.child_by_field_name("function"), syntax.child_by_field_name("arguments")
                names = {v.name.removeprefix("builtins.") for v in self.infer(function, scope)} if function else set()
                inner = (
                    ()
                    if arguments is None
                    else (arguments,)
                    if arguments.type == "generator_expression"
                    else parts(arguments)
                )
                return (
                    _NOTHING.union(*(self.elements(child, scope) for child in inner))
                    if names & _TRANSPARENT
                    else _NOTHING
                )
        return _NOTHING

    def _binding_elements(self, binding: Binding) -> Values:
        follow = binding.kind is BindingKind.VALUE and binding.value is not None
        return self.elements(binding.value, binding.scope) if follow and binding.value else _NOTHING

    # --- arguments to parameters ------------------------------------------------------------------------------------------------

    def _bind_arguments(self, call: SyntaxNode, scope: str) -> None:
        function, arguments = call.child_by_field_name("function"), call.child_by_field_name("arguments")
        if function is None or arguments is None or arguments.type != "argument_list":
            return
        for value in self.callees(function, scope):
            for parameter, expression in self.match_arguments(value, arguments):
                self.parameters[parameter].update(self.infer(expression, scope))

    def match_arguments(self, callee: Value, arguments: SyntaxNode) -> Iterator[tuple[str, SyntaxNode]]:
        """Pair parameters (by slot) with the argument expressions that reach them; stars are not followed."""
        slot = self.constructor(callee.name) if callee.tag is Tag.CLASS else callee.name
        scope = self.scopes.get(slot)
        if scope is None or callee.tag is Tag.EXTERNAL:
            return
        found = [b.slot for bs in scope.bindings.values() for b in bs if b.kind is BindingKind.PARAMETER]
        positional = found[1:] if callee.tag in (Tag.CLASS, Tag.METHOD) else found
        by_name = {slot.rpartition("/param.")[2]: slot for slot in found}
        place = 0
        for argument in arguments.named_children:
            if argument.type == "keyword_argument":
                name, value = argument.child_by_field_name("name"), argument.child_by_field_name("value")
                key = (name.text or b"").decode() if name else ""
                if value is not None and key in by_name:
                    yield by_name[key], value
            elif argument.type in ("list_splat", "dictionary_splat"):
                return
            elif argument.type != "comment":
                if place < len(positional):
                    yield positional[place], argument
                place += 1

    def constructor(self, class_slot: str) -> str:
        """Return the slot of the `__init__` that constructing a class runs; empty when it has none of ours."""
        return next((b.slot for b in self.attribute(class_slot, "__init__") if b.kind is BindingKind.FUNCTION), "")

    def _instances(self, values: Iterable[Value]) -> Values:
        """Turn the classes that an annotation names into instances of them."""
        made = {Tag.CLASS: Tag.INSTANCE, Tag.EXTERNAL: Tag.MADE}
        return frozenset(Value(made[v.tag], v.name) for v in values if v.tag in made)

    def _lineage(self, class_slot: str) -> tuple[str, ...]:
        """Return a class and its bases of ours, depth first, each once."""
        found: dict[str, None] = {}
        pending = [class_slot]
        while pending:
            slot = pending.pop(0)
            if slot not in found:
                found[slot] = None
                pending = [v.name for v in sorted(self.bases(slot)) if v.tag is Tag.CLASS] + pending
        return tuple(found)


def chain(syntax: SyntaxNode) -> str:
    """Return the text of a callee for an unresolved edge: its dotted name, or its head."""
    return dotted(syntax) or (syntax.text or b"").decode().split("(")[0].split("\n")[0][:60]
