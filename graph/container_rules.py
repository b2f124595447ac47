"""What reading, writing and copying the elements of a value does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.attribute_rules import load
from graph.elements import (
    CONTAINERS,
    PAIR,
    QUOTES,
    add,
    length,
    older,
    overwritten,
    put,
    take,
    take_maybe,
    take_slice,
    versions,
)
from graph.libraries import TENSOR
from graph.origins import ALL_BUT_ORIGINS
from graph.protocol_rules import holds_modules, iterate, run_method
from graph.values import (
    Argument,
    Copy,
    Dunder,
    Entry,
    Item,
    Iterate,
    Keep,
    Key,
    Load,
    Overwrite,
    Pair,
    SetItem,
    Tag,
    Update,
    Value,
    value,
)

if TYPE_CHECKING:
    from graph.solver import Emit
    from graph.tables import Tables

_TENSOR = value(Tag.MADE, TENSOR)


def get_item(tables: Tables, watcher: Item, held: Value, emit: Emit) -> None:
    """Read an element."""
    tag = held.tag
    if tag in CONTAINERS:
        _get_element(watcher, held, emit)
    elif tag is Tag.INSTANCE:
        getter = Dunder("__getitem__", (Argument("", watcher.by),), watcher.into, watcher.site)
        if not run_method(tables, getter, held, emit) and holds_modules(tables, held.name):
            emit(f"{held.name}![]", watcher.into)
    elif tag is Tag.CLASS or tag is Tag.EXTERNAL or held is _TENSOR:  # a generic class with its parameters; a tensor
        emit(watcher.into, held)


def set_item(tables: Tables, watcher: SetItem, held: Value, emit: Emit) -> None:
    """Store an element."""
    if held.tag is Tag.INSTANCE:
        arguments = (Argument("", watcher.by), Argument("", watcher.cell))
        run_method(tables, Dunder("__setitem__", arguments, "", watcher.site), held, emit)
    elif held.tag in CONTAINERS and watcher.by:
        emit(watcher.by, Key(held, cell=watcher.cell))
        for container in versions(held):
            emit(watcher.cell, f"{container}[]")
    elif held.tag in CONTAINERS:
        put(held, watcher.key or "*", watcher.cell, emit)


def use_key(tables: Tables, watcher: Key, held: Value, emit: Emit) -> None:
    """Go on with an access now that the key is known."""
    owner = watcher.of
    if held.tag is not Tag.CONSTANT:
        return
    if owner.tag not in CONTAINERS:
        if held.name.startswith("'"):
            load(tables, Load(held.name.strip("'"), watcher.into, ""), owner, emit)
    elif watcher.into:
        take(owner, held.name, watcher.into, emit)
    else:
        put(owner, held.name, watcher.cell, emit)


def overwrite(_tables: Tables, watcher: Overwrite, held: Value, emit: Emit) -> None:
    """Make the version of a container in which one key was overwritten."""
    if held.tag not in (Tag.LIST, Tag.DICT) or watcher.into in versions(held):  # in a loop: it is this version already
        emit(watcher.into, held)
        return
    before = (Argument(overwritten(held), held.name), *older(held))
    emit(watcher.into, value(held.tag, watcher.into, (watcher.key, before)))
    if watcher.cell:
        add(watcher.into, watcher.key, watcher.cell, emit)


def copy(tables: Tables, watcher: Copy, held: Value, emit: Emit) -> None:
    """Copy a container, place by place as far as they are known; anything else is its one element."""
    into = watcher.into
    if held.tag is Tag.DICT:
        update(tables, Update(into), held, emit)
        emit(f"{held.name}[]", f"{into}[]")
    elif held.tag is Tag.LIST:
        for place in range(length(held) or 0):
            emit(f"{held.name}[{place}]", f"{into}[{place}]")
        for container in versions(held):
            emit(f"{container}[*]", f"{into}[*]")
            emit(f"{container}[]", f"{into}[]")
    elif not watcher.modules:
        iterate(tables, Iterate(f"{into}[*]", watcher.site), held, emit)
    elif held.tag is Tag.SEQUENTIAL:
        emit(f"{held.name}[]", f"{into}[]")
    elif held.tag is Tag.INSTANCE or held.tag is Tag.MADE:
        emit(f"{into}[*]", held)


def update(tables: Tables, watcher: Update, held: Value, emit: Emit) -> None:
    """Copy the entries of a dictionary into another."""
    into = watcher.into
    if held.tag is Tag.DICT or held.tag is Tag.NAMESPACE:
        for source in versions(held):
            if source != into:
                emit(f"{source}[key]", Entry(source, into, watcher.fields))
                if not watcher.fields:
                    add(into, "*", f"{source}[*]", emit)
    elif watcher.fields:
        return
    elif held.tag is Tag.INSTANCE:
        _fields_as_entries(tables, into, held, emit)
    elif held.tag is Tag.LIST:
        emit(f"{held.name}[]", Pair(into))


def copy_entry(_tables: Tables, watcher: Entry, held: Value, emit: Emit) -> None:
    """Copy one entry of a dictionary."""
    if held.tag is Tag.CONSTANT:
        source, into = f"{watcher.source}[{held.name}]", watcher.into
        if watcher.fields:
            emit(source, Keep(f"{into}!{held.name.strip(QUOTES)}", ALL_BUT_ORIGINS))
        else:
            emit(f"{into}[key]", held)
            add(into, held.name, source, emit)


def put_pair(_tables: Tables, watcher: Pair, held: Value, emit: Emit) -> None:
    """Put a key and its value, given as a pair, into a dictionary."""
    if held.tag is Tag.LIST and held.of == PAIR:
        emit(f"{held.name}[0]", f"{watcher.into}[key]")
        emit(f"{held.name}[1]", f"{watcher.into}[*]")
        emit(f"{watcher.into}[*]", f"{watcher.into}[]")


def _get_element(watcher: Item, held: Value, emit: Emit) -> None:
    if watcher.by and (held.tag is Tag.DICT or watcher.key != "*"):
        emit(watcher.by, Key(held, into=watcher.into))
        take_maybe(held, watcher.into, emit)
    elif watcher.key.startswith(":"):
        take_slice(held, watcher, emit)
    else:
        take(held, watcher.key.strip("*"), watcher.into, emit)


def _fields_as_entries(tables: Tables, into: str, held: Value, emit: Emit) -> None:
    for name in tables.fields(held.name) or ():
        emit(f"{into}[key]", value(Tag.CONSTANT, repr(name)))
        for owner in tables.attribute_owners(held.name, name):
            add(into, repr(name), f"{owner}!{name}", emit)
