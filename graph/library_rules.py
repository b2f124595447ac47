"""What calling something outside the sources does: what it runs, what it hands on, and what it gives.

Functions with semantics of their own are data, in `graph.idioms` and `graph.origins`; here is what holds for all the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graph.idioms import act_on_library
from graph.libraries import (
    GIVES_MODULES,
    GIVES_SEVERAL,
    KEEPS_RECEIVER,
    LOADERS,
    MADE_DEPTH,
    TENSOR,
    calls_nothing,
    keeps_arguments,
    made_by,
)
from graph.model import Rule
from graph.origins import call_with_origin
from graph.protocol_rules import holds_modules
from graph.values import Argument, Call, Handed, Iterate, Keep, Submodules, Tag, Value, value

if TYPE_CHECKING:
    from graph.solver import Emit
    from graph.tables import Tables

_REGISTERS = ("append", "add_module", "extend", "register_module")  # a module with a torch container
_WRAPPED = (Tag.INSTANCE, Tag.SEQUENTIAL, Tag.MADE, Tag.FUNCTION, Tag.METHOD)


def call_external(tables: Tables, call: Call, held: Value, emit: Emit) -> None:
    """Call something outside the sources, or what such a call made."""
    path = held.name if held.tag is Tag.EXTERNAL else f"{held.name}.__call__"
    if call.rule == Rule.MODULE_CALL:  # one of the modules of a container: the container is what the site calls
        _give(path, call, 0, emit)
        return
    if path != "torch.autograd.Function.apply":
        emit(f"{call.site}()", value(Tag.RUNS, path, Rule.EXTERNAL))
    if isinstance(held.of, Value) and _call_inherited(tables, path, call, held.of, emit):
        return
    if call_with_origin(path, held, call, emit) or act_on_library(path, held, call, emit):
        return
    if not calls_nothing(path):
        hand_over(call, emit)
    if not (keeps_arguments(path) and _keep_arguments(path, call, emit)):
        _give(path, call, held.of if isinstance(held.of, int) else 0, emit)


def hand_over(call: Call, emit: Emit) -> None:
    """Give functions among the arguments of a library call to the library, which may call them."""
    for place, argument in enumerate(call.arguments):
        if argument.cell:
            rest = tuple(a for a in call.arguments[place + 1 :] if not a.name) if not argument.name else ()
            emit(argument.cell, Handed(rest, call.site, "", Rule.CALLBACK))


def walk_submodules(tables: Tables, watcher: Submodules, held: Value, emit: Emit) -> None:
    """children(), modules() and their named forms: the modules that a module holds."""
    into, deeper = watcher.into, replace(watcher, level=1)
    if held.tag is Tag.SEQUENTIAL:
        emit(f"{held.name}[]", deeper)
    elif held.tag in (Tag.INSTANCE, Tag.MADE):
        if watcher.level or watcher.deep:
            pair = f"{into}'pair" if watcher.named else into
            emit(f"{pair}[{'1' if watcher.named else '*'}]", held)
            emit(f"{pair}[]", held)
            if watcher.named:
                emit(f"{into}[]", value(Tag.LIST, pair, 2))
                emit(f"{into}[*]", value(Tag.LIST, pair, 2))
        if held.tag is Tag.INSTANCE and tables.is_module(held.name) and (watcher.deep or not watcher.level):
            for owner in (c for c in tables.lineage(held.name) if c in tables.classes):
                for name in sorted(tables.classes[owner].attributes):
                    emit(f"{held.name}!{name}", deeper)


def _call_inherited(tables: Tables, path: str, call: Call, receiver: Value, emit: Emit) -> bool:
    """Call a method that a class of ours has from an external base; say whether that was all that it does."""
    last = path.rpartition(".")[2]
    if last in KEEPS_RECEIVER and receiver.tag is Tag.INSTANCE:
        if call.into:
            emit(call.into, receiver)
        hand_over(call, emit)
        return True
    if path.startswith("torch.nn.Module.") and last in GIVES_MODULES and call.into:
        emit(call.into, value(Tag.LIST, call.into))
        emit(f"{call.site}'of", receiver)
        emit(f"{call.site}'of", Submodules(call.into, GIVES_MODULES[last], last.startswith("named_"), 0))
        return True
    if last == "apply" and receiver.tag is Tag.CLASS:
        _apply_autograd(tables, call, receiver.name, emit)
    elif last == "__init__" and holds_modules(tables, receiver.name):
        for argument in call.arguments:
            emit(argument.cell, Iterate(f"{receiver.name}![]", call.site))
    elif last in _REGISTERS and receiver.tag is Tag.INSTANCE and call.arguments:
        emit(call.arguments[-1].cell, f"{receiver.name}![]")
    return False


def _apply_autograd(tables: Tables, call: Call, slot: str, emit: Emit) -> None:
    """apply() of a torch.autograd.Function runs its forward, with a context in front."""
    owner = tables.body_owner(slot, "forward")
    if owner:
        context = Argument("", f"{call.site}'context")
        emit(f"{owner}>forward", Call((context, *call.arguments), call.site, call.into, Rule.HANDED))


def _keep_arguments(path: str, call: Call, emit: Emit) -> bool:
    """Give back what a wrapper was given, several things as a tuple; say whether it was given anything."""
    into, given = call.into, [a.cell for a in call.arguments if not a.name]
    if into and len(given) > 1 and path.rpartition(".")[2] in GIVES_SEVERAL:
        emit(into, value(Tag.LIST, f"{into}'kept", len(given)))
        for place, cell in enumerate(given):
            if cell:
                emit(cell, Keep(f"{into}'kept[{place}]", _WRAPPED))
    elif into and given and given[0]:
        emit(given[0], Keep(into, _WRAPPED))
    return any(given)


def _give(path: str, call: Call, depth: int, emit: Emit) -> None:
    """Give what a library makes; members of members of what it made make nothing that is followed further."""
    made = made_by(path)
    if not call.into or not made:
        return
    if made == TENSOR:
        emit(call.into, value(Tag.MADE, TENSOR))
    elif path in LOADERS:
        emit(call.into, value(Tag.MADE, made, call.site))
    elif not depth or (depth < MADE_DEPTH and _is_member_of_class(path)):
        emit(call.into, value(Tag.MADE, made, depth or None))


def _is_member_of_class(path: str) -> bool:
    return path.split(".")[-2][:1].isupper() and not path.startswith("torch.")
