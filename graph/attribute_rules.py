"""What reading and writing an attribute does, by what the value is; and what super() and getattr give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.call_rules import run_function
from graph.elements import put
from graph.facts import Access
from graph.libraries import CONTAINER_METHODS, MADE_DEPTH, PATH_PARTS, STRING_METHODS, has_member
from graph.model import Rule
from graph.origins import ALL_BUT_ORIGINS, GIVES_WEIGHTS, PARSER
from graph.protocol_rules import run_method
from graph.values import (
    Argument,
    Assign,
    Bind,
    Call,
    Dunder,
    GetMember,
    Invoke,
    Keep,
    Key,
    Load,
    Maybe,
    Store,
    Super,
    SuperOf,
    Tag,
    Value,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graph.solver import Emit
    from graph.tables import Tables

_HOLDS_WRAPPED = ("module", "_orig_mod")  # attributes under which a wrapper keeps the module that it was given


def load(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    """Read an attribute."""
    rule = _LOADS.get(held.tag)
    if rule is not None:
        rule(tables, watcher, held, emit)


def bind(tables: Tables, watcher: Bind, held: Value, emit: Emit) -> None:
    """Take a class attribute through its receiver: functions become methods, properties run."""
    if held.tag is Tag.FUNCTION:
        _bind_function(tables, watcher, held, emit)
    elif held.tag is Tag.PROPERTY and isinstance(held.of, tuple):
        for argument in held.of[1][:1]:
            emit(argument.cell, Invoke(watcher.receiver, Call((), watcher.site, watcher.into, Rule.PROPERTY)))
    else:
        emit(watcher.into, held)


def store(tables: Tables, watcher: Store, held: Value, emit: Emit) -> None:
    """Assign an attribute."""
    tag, name, cell = held.tag, watcher.attr, watcher.cell
    if tag is Tag.INSTANCE:
        _store_instance(tables, watcher, held, emit)
    elif not cell:
        return
    elif tag is Tag.CLASS:
        emit(cell, f"{held.name}!{name}")
        if name in tables.classes[held.name].body:
            emit(cell, f"{held.name}>{name}")
    elif tag is Tag.MODULE:
        emit(cell, f"{held.name}:>{name}")
    elif tag is Tag.NAMESPACE or tag is Tag.SEQUENTIAL:
        put(held, f"'{name}'", cell, emit)
    elif tag is Tag.FUNCTION:
        emit(cell, f"{held.name}!{name}")


def assign(tables: Tables, watcher: Assign, held: Value, emit: Emit) -> None:
    """Run the setter of a property."""
    function = tables.functions.get(held.name) if held.tag is Tag.FUNCTION else None
    if function is not None and function.access is Access.PROPERTY and function.setter:
        call = Call((Argument("", watcher.cell),), watcher.site, "")
        run_function(function, watcher.receiver, call, Rule.PROPERTY, emit)


def make_super(tables: Tables, watcher: Super, held: Value, emit: Emit) -> None:
    """Make super() of a receiver."""
    if held.tag in (Tag.INSTANCE, Tag.CLASS) and watcher.owner in tables.lineage(held.name):
        emit(watcher.into, value(Tag.SUPER, watcher.owner, held))


def make_super_of(_tables: Tables, watcher: SuperOf, held: Value, emit: Emit) -> None:
    """Make super(class, receiver)."""
    if held.tag is Tag.CLASS and watcher.receiver:
        emit(watcher.receiver, Super(held.name, watcher.into))


def get_member(tables: Tables, watcher: GetMember, held: Value, emit: Emit) -> None:
    """Read the attribute whose name only a value knows; of a module it may be every class and function that it declares."""
    if held.tag not in (Tag.MODULE, Tag.CLASS, Tag.INSTANCE, Tag.NAMESPACE):
        return
    if watcher.by:
        emit(watcher.by, Key(held, into=watcher.into))
    if held.tag is Tag.MODULE:
        for name, bindings in tables.names_of(held.name).items():
            if not name.startswith("_") and any(b.kind in ("class", "function") for b in bindings):
                emit(f"{held.name}:>{name}", Maybe(watcher.into))
    elif held.tag is Tag.NAMESPACE:
        emit(f"{held.name}[]", Maybe(watcher.into))


# --- what has attributes ----------------------------------------------------------------------------------------------


def _load_instance(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    name = watcher.attr
    owners = tables.attribute_owners(held.name, name)
    for owner in owners:
        emit(f"{owner}!{name}", watcher.into)
    body = tables.body_owner(held.name, name)
    if body:
        emit(f"{body}>{name}", Bind(held, watcher.into, watcher.site))
    elif not owners:
        _load_undeclared(tables, watcher, held, emit)


def _load_undeclared(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    """Read an attribute of an instance that no class of ours declares."""
    name, into = watcher.attr, watcher.into
    _load_external_base(tables, watcher, held, emit)
    if name in _HOLDS_WRAPPED and tables.is_module(held.name):
        emit(into, held)
    getter = Dunder("__getattr__", (Argument("", f"{into}'name"),), into, watcher.site)
    if run_method(tables, getter, held, emit):
        emit(f"{into}'name", value(Tag.CONSTANT, repr(name)))


def _load_external_base(tables: Tables, watcher: Load, receiver: Value, emit: Emit) -> None:
    for base in tables.external_bases(receiver.name)[:1]:
        if has_member(base, watcher.attr):
            emit(watcher.into, value(Tag.EXTERNAL, f"{base}.{watcher.attr}", receiver))


def _load_class(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    name = watcher.attr
    if name in tables.outside:
        emit(f"{held.name}!{name}", watcher.into)
    body = tables.body_owner(held.name, name)
    if body and tables.is_enum(held.name) and f"{body}.{name}" not in tables.functions:
        emit(watcher.into, value(Tag.INSTANCE, held.name))
    elif body:
        emit(f"{body}>{name}", Bind(held, watcher.into, watcher.site))
    else:
        _load_external_base(tables, watcher, held, emit)


def _load_super(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    name, receiver = watcher.attr, held.of
    if not isinstance(receiver, Value):
        return
    line = tables.lineage(receiver.name)
    if name in tables.outside and held.name in line:
        for owner in line[line.index(held.name) + 1 :]:
            emit(f"{owner}!{name}", watcher.into)
    body = tables.body_owner(receiver.name, name, after=held.name)
    if body:
        emit(f"{body}>{name}", Bind(receiver, watcher.into, watcher.site))
    else:
        _load_external_base(tables, watcher, receiver, emit)


def _load_module(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    name, inner = watcher.attr, f"{held.name}.{watcher.attr}"
    if tables.declares(held.name, name):
        emit(f"{held.name}:>{name}", watcher.into)
    elif inner in tables.modules or inner in tables.packages:
        emit(watcher.into, value(Tag.MODULE, inner))
    elif watcher.site and tables.declares(held.name, "__getattr__"):
        emit(f"{held.name}:>__getattr__", Call((), watcher.site, watcher.into, Rule.PROTOCOL))


def _load_external(_tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    """Read a member of something outside the sources, as long as it is one that may matter."""
    path, name = held.name, watcher.attr
    depth = held.of if isinstance(held.of, int) else 0
    if held.tag is Tag.MADE or held.of is not None or path[path.rfind(".") + 1 :][:1].isupper():
        depth += 1
    if depth <= MADE_DEPTH and path.count(".") < PATH_PARTS and has_member(path, name):
        emit(watcher.into, value(Tag.EXTERNAL, f"{path}.{name}", depth or None))


def _load_made(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    if held.name == PARSER:
        emit(watcher.into, value(Tag.EXTERNAL, f"{PARSER}.{watcher.attr}", held))
    elif watcher.attr == "dataset" and isinstance(held.of, str):
        emit(f"{held.of}'dataset", watcher.into)
    else:
        _load_external(tables, watcher, held, emit)


def _load_element(_tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    emit(f"{held.name}['{watcher.attr}']", watcher.into)


def _load_container(_tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    if watcher.attr in CONTAINER_METHODS:
        emit(watcher.into, value(Tag.CONTAINER_METHOD, watcher.attr, held))


def _load_sequential(tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    _load_container(tables, watcher, held, emit)
    _load_element(tables, watcher, held, emit)
    if watcher.attr in GIVES_WEIGHTS:
        emit(watcher.into, value(Tag.EXTERNAL, f"torch.nn.Module.{watcher.attr}", held))


def _load_file(_tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    emit(watcher.into, held)


def _load_function(_tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    emit(f"{held.name}!{watcher.attr}", watcher.into)


def _load_partial(_tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    if watcher.attr == "func" and isinstance(held.of, tuple):
        emit(held.of[0], watcher.into)


def _load_constant(_tables: Tables, watcher: Load, held: Value, emit: Emit) -> None:
    if watcher.attr in STRING_METHODS and held.name[:1] in "'\"":
        emit(watcher.into, value(Tag.EXTERNAL, f"builtins.str.{watcher.attr}", MADE_DEPTH))


# --- parts ------------------------------------------------------------------------------------------------------------


def _bind_function(tables: Tables, watcher: Bind, held: Value, emit: Emit) -> None:
    function, receiver = tables.functions.get(held.name), watcher.receiver
    access = function.access if function is not None else Access.PLAIN
    if function is not None and access is Access.PROPERTY and receiver.tag is Tag.INSTANCE:
        if not function.setter:
            run_function(function, receiver, Call((), watcher.site, watcher.into), Rule.PROPERTY, emit)
    elif access is Access.STATIC or (receiver.tag is Tag.CLASS and access is not Access.CLASS):
        emit(watcher.into, held)
    elif access is Access.CLASS:
        emit(watcher.into, value(Tag.METHOD, held.name, value(Tag.CLASS, receiver.name)))
    else:
        emit(watcher.into, value(Tag.METHOD, held.name, receiver))


def _store_instance(tables: Tables, watcher: Store, held: Value, emit: Emit) -> None:
    if watcher.cell:
        into = f"{held.name}!{watcher.attr}"
        field = watcher.attr in (tables.fields(held.name) or ())
        emit(watcher.cell, Keep(into, ALL_BUT_ORIGINS) if field else into)
    body = tables.body_owner(held.name, watcher.attr)
    if body:
        emit(f"{body}>{watcher.attr}", Assign(held, watcher.cell, watcher.site))


_LOADS: Mapping[Tag, Callable[[Tables, Load, Value, Emit], None]] = {
    Tag.INSTANCE: _load_instance,
    Tag.CLASS: _load_class,
    Tag.SUPER: _load_super,
    Tag.MODULE: _load_module,
    Tag.EXTERNAL: _load_external,
    Tag.MADE: _load_made,
    Tag.NAMESPACE: _load_element,
    Tag.LIST: _load_container,
    Tag.DICT: _load_container,
    Tag.SEQUENTIAL: _load_sequential,
    Tag.FILE: _load_file,
    Tag.FUNCTION: _load_function,
    Tag.PARTIAL: _load_partial,
    Tag.CONSTANT: _load_constant,
}
