"""What calling a value does: functions run, classes make instances, and what a library is handed may be called."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graph.elements import call_container_method
from graph.facts import Access
from graph.libraries import NO_CONSTRUCTOR
from graph.library_rules import call_external, hand_over
from graph.model import Rule
from graph.origins import ALL_BUT_ORIGINS
from graph.parameters import match
from graph.protocol_rules import holds_modules
from graph.values import Argument, Call, Decorate, Handed, Invoke, Iterate, Keep, Raise, Tag, Update, Value, value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graph.facts import FunctionFacts
    from graph.solver import Emit
    from graph.tables import Tables


def call_value(tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    """Call a value."""
    rule = _CALLS.get(held.tag)
    if rule is not None:
        rule(tables, call, held, emit)


def invoke(tables: Tables, watcher: Invoke, held: Value, emit: Emit) -> None:
    """Call a class attribute with its receiver in front."""
    call, receiver = watcher.call, watcher.receiver
    if held.tag is not Tag.FUNCTION:
        call_value(tables, call, held, emit)
        return
    function = tables.functions.get(held.name)
    if function is not None:
        of_instance = receiver.tag is Tag.INSTANCE
        bound = None if function.access is Access.STATIC and of_instance else receiver
        if call.into and not (of_instance and call.rule):  # a constructor: the class says what the call gives
            call = replace(call, into="")
        run_function(function, bound, call, call.rule or Rule.METHOD, emit)


def run_function(function: FunctionFacts, receiver: Value | None, call: Call, rule: str, emit: Emit) -> None:
    """Run a function of ours: its parameters get the arguments, the site gets what it returns."""
    bound = 0
    if receiver is None:
        emit(f"{call.site}()", value(Tag.RUNS, function.slot, f"{rule}"))
    else:
        emit(f"{call.site}()", value(Tag.RUNS, function.slot, f"{rule}+"))
        if function.parameters:
            bound = 1
            if function.parameters[0].kind != "star":
                emit(function.parameters[0].cell, receiver)
    given: dict[str, list[str]] = {}
    for cell, thing in match(function, call.arguments, bound):
        emit(cell, thing)
        if isinstance(thing, str):
            given.setdefault(thing, []).append(cell)
    if call.into:
        _give_result(function, receiver, given, call.into, emit)


def hand(tables: Tables, watcher: Handed, held: Value, emit: Emit) -> None:
    """Call what was handed to a library."""
    if held.tag in (Tag.FUNCTION, Tag.METHOD, Tag.PARTIAL):
        arguments = _aligned(tables, watcher, held)
        call_value(tables, Call(arguments, watcher.site, watcher.into, watcher.rule), held, emit)
    elif held.tag is Tag.INSTANCE and watcher.rule == Rule.HANDED and tables.body_owner(held.name, "__call__"):
        _call_instance(tables, Call(watcher.arguments, watcher.site, watcher.into, watcher.rule), held, emit)
    elif held.tag in (Tag.LIST, Tag.DICT):
        emit(f"{held.name}[]", watcher)
    elif held.tag is Tag.GENERATOR:
        emit(f"{watcher.site}()", value(Tag.RUNS, held.name, Rule.CALLBACK))


def decorate(tables: Tables, watcher: Decorate, held: Value, emit: Emit) -> None:
    """Apply a decorator."""
    if held.tag in (Tag.EXTERNAL, Tag.MADE):
        emit(watcher.cell, watcher.into)
        emit(f"{watcher.site}()", value(Tag.RUNS, held.name, Rule.EXTERNAL))
    else:
        call = Call((Argument("", watcher.cell),), watcher.site, watcher.into, Rule.DECORATOR)
        call_value(tables, call, held, emit)


def raise_value(tables: Tables, watcher: Raise, held: Value, emit: Emit) -> None:
    """Raise a class: it is instantiated."""
    if held.tag is Tag.CLASS:
        _construct(tables, Call((), watcher.site, f"{watcher.site}'"), held, emit)


# --- what may be called -----------------------------------------------------------------------------------------------


def _call_function(tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    function = tables.functions.get(held.name)
    if function is not None:
        receiver = held.of if isinstance(held.of, Value) else None
        run_function(function, receiver, call, Rule.REGISTRY if held.may else call.rule or Rule.FLOW, emit)


def _call_class(tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    _construct(tables, replace(call, rule=Rule.REGISTRY) if held.may else call, held, emit)


def _call_instance(tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    """Run `__call__`, or the forward of a torch module."""
    name, rule = "__call__", call.rule or Rule.PROTOCOL
    owner = tables.body_owner(held.name, name)
    if not owner and tables.is_module(held.name):
        name, rule = "forward", call.rule or Rule.MODULE_CALL
        owner = tables.body_owner(held.name, name)
        for slot in tables.attribute_owners(held.name, name):
            emit(f"{slot}!{name}", Call(call.arguments, call.site, call.into, rule))
        if not owner and holds_modules(tables, held.name):
            emit(f"{held.name}![]", Call(call.arguments, call.site, call.into, Rule.MODULE_CALL))
    if owner:
        emit(f"{owner}>{name}", Invoke(held, Call(call.arguments, call.site, call.into, rule)))


def _call_partial(_tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    if isinstance(held.of, tuple):
        function, given = held.of
        if not given or not set(given) <= set(call.arguments):  # a partial of itself would go on for ever
            arguments = (*given, *call.arguments)
            emit(function, Call(arguments, call.site, call.into, call.rule or Rule.PARTIAL))


def _call_sequential(_tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    emit(f"{held.name}[]", Call(call.arguments, call.site, call.into, Rule.MODULE_CALL))
    emit(f"{call.site}()", value(Tag.RUNS, f"{held.of}.__call__", Rule.EXTERNAL))


def _call_container_method(_tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    if isinstance(held.of, Value):
        call_container_method(held.of, held.name, call, emit)


def _call_file(_tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    """What a file is asked for is the file: its text, its lines."""
    if call.into:
        emit(call.into, held)


# --- parts ------------------------------------------------------------------------------------------------------------


def _give_result(
    function: FunctionFacts, receiver: Value | None, given: Mapping[str, list[str]], into: str, emit: Emit
) -> None:
    """Give what a function returns, and those of its arguments that it may return as they are."""
    if function.generator:
        emit(into, value(Tag.GENERATOR, function.slot))
        return
    emit(f"{function.slot}@return", into)
    if function.makes and receiver is not None:
        emit(into, value(Tag.INSTANCE, receiver.name))
    if not function.passes:
        return
    for place, parameter in enumerate(function.parameters):
        if parameter.name in function.passes:
            if not place and receiver is not None:
                emit(into, receiver)
            for cell in given.get(parameter.cell) or ([parameter.default] if parameter.default else []):
                emit(cell, into)


def _construct(tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    """Make an instance of a class of ours."""
    slot, instance = held.name, value(Tag.INSTANCE, held.name)
    emit(call.into or f"{call.site}'", instance)
    emit(f"{call.site}()", value(Tag.RUNS, slot, "made may" if call.rule == Rule.REGISTRY else "made"))
    creator = tables.body_owner(slot, "__new__")
    if creator:
        emit(f"{creator}>__new__", Invoke(held, call))
    initial = tables.body_owner(slot, "__init__")
    if initial:
        emit(f"{initial}>__init__", Invoke(instance, call))
        return
    after = tables.body_owner(slot, "__post_init__")
    if after:
        emit(f"{after}>__post_init__", Invoke(instance, Call((), call.site, "")))
    fields = tables.fields(slot)
    if fields is not None:
        _fill_fields(slot, fields, call, emit)
    else:
        _construct_external(tables, slot, call, emit)


def _fill_fields(slot: str, fields: tuple[str, ...], call: Call, emit: Emit) -> None:
    """Run the made-up constructor of a dataclass."""
    for place, argument in enumerate(call.arguments):
        name = argument.name or (fields[place] if place < len(fields) else "")
        if argument.cell and argument.name == "**":
            emit(argument.cell, Update(slot, fields=True))
        elif name and argument.cell and argument.name != "*":
            emit(argument.cell, Keep(f"{slot}!{name}", ALL_BUT_ORIGINS))


def _construct_external(tables: Tables, slot: str, call: Call, emit: Emit) -> None:
    """Run the constructor that a class of ours has from an external base."""
    bases = tables.external_bases(slot)
    if not bases:
        return
    if not bases[0].startswith(NO_CONSTRUCTOR):
        emit(f"{call.site}()", value(Tag.RUNS, f"{bases[0]}.__init__", Rule.EXTERNAL))
    if holds_modules(tables, slot):
        for argument in call.arguments:
            emit(argument.cell, Iterate(f"{slot}![]", call.site))
    hand_over(call, emit)


def _aligned(tables: Tables, watcher: Handed, held: Value) -> tuple[Argument, ...]:
    """Return the arguments of a callback: a library may put its own in front of those that it passes on."""
    function = tables.functions.get(held.name)
    if function is None or watcher.rule != Rule.CALLBACK or not watcher.arguments:
        return watcher.arguments
    taken = sum(p.kind in ("positional", "either") for p in function.parameters) - (held.tag is Tag.METHOD)
    return ((Argument("", ""),) * max(taken - len(watcher.arguments), 0)) + watcher.arguments


_CALLS: Mapping[Tag, Callable[[Tables, Call, Value, Emit], None]] = {
    Tag.FUNCTION: _call_function,
    Tag.METHOD: _call_function,
    Tag.CLASS: _call_class,
    Tag.INSTANCE: _call_instance,
    Tag.EXTERNAL: call_external,
    Tag.MADE: call_external,
    Tag.PARTIAL: _call_partial,
    Tag.SEQUENTIAL: _call_sequential,
    Tag.CONTAINER_METHOD: _call_container_method,
    Tag.FILE: _call_file,
}
