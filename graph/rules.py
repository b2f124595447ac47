"""What a watcher does with a value: the semantics of Python as far as values are followed.

Every rule is a pure function of the declarations, the watcher and the value; it emits constraints. They stand together by who
reads them: `attribute_rules`, `call_rules`, `container_rules`, `protocol_rules` for what operators and statements run, and
`library_rules`. Library functions that hand values on are data, in `graph.idioms` and `graph.origins`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.attribute_rules import assign, bind, get_member, load, make_super, make_super_of, store
from graph.call_rules import call_value, decorate, hand, invoke, raise_value
from graph.container_rules import copy, copy_entry, get_item, overwrite, put_pair, set_item, update, use_key
from graph.elements import QUOTES
from graph.libraries import OPERANDS
from graph.library_rules import walk_submodules
from graph.origins import open_file, parse_file, take_weights
from graph.protocol_rules import enter, iterate, run_dunder, take_next, unpack
from graph.values import (
    Annotate,
    Assign,
    Bind,
    Call,
    Copy,
    Decorate,
    Dunder,
    Enter,
    Entry,
    GetMember,
    Handed,
    ImportModule,
    Invoke,
    Item,
    Iterate,
    Keep,
    Key,
    Load,
    Maybe,
    Next,
    Open,
    Overwrite,
    Pair,
    Parse,
    Raise,
    SetItem,
    Store,
    Submodules,
    Super,
    SuperOf,
    Tag,
    Unpack,
    Update,
    Value,
    Watcher,
    Weights,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graph.solver import Emit
    from graph.tables import Tables

_NO_INSTANCE = ("builtins.", "typing.", "collections.abc.")  # annotations that name nothing worth following
_CALLABLE = (Tag.FUNCTION, Tag.METHOD, Tag.CLASS, Tag.PARTIAL)


class Rules:
    """The semantics over one set of declarations."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def act(self, watcher: Watcher, held: Value, emit: Emit) -> None:
        """Emit what a value means to a watcher of its cell."""
        _RULES[type(watcher)](self._tables, watcher, held, emit)


def follow_annotation(tables: Tables, watcher: Annotate, held: Value, emit: Emit) -> None:
    """Follow an annotation: an instance of the class that it names."""
    if held.tag is Tag.CLASS:
        for slot in tables.instances(held.name):
            emit(watcher.into, value(Tag.INSTANCE, slot))
    elif held.tag is Tag.LIST:
        emit(f"{held.name}[]", watcher)
    elif held.tag is Tag.EXTERNAL and not watcher.ours and not held.name.startswith(_NO_INSTANCE):
        emit(watcher.into, value(Tag.MADE, held.name))


def keep(_tables: Tables, watcher: Keep, held: Value, emit: Emit) -> None:
    """Pass on what an operator or wrapper keeps."""
    if held.tag not in watcher.tags or held.stays or not watcher.into:
        return
    if held.tag is not Tag.MADE or held.name in OPERANDS or Tag.INSTANCE in watcher.tags:
        emit(watcher.into, held)


def maybe(_tables: Tables, watcher: Maybe, held: Value, emit: Emit) -> None:
    """Pass on what a key may pick."""
    if held.tag in _CALLABLE:
        emit(watcher.into, value(held.tag, held.name, held.of, may=True))
    elif held.tag is not Tag.ORIGIN:  # another key's
        emit(watcher.into, held)


def import_module(tables: Tables, watcher: ImportModule, held: Value, emit: Emit) -> None:
    """importlib.import_module("name")."""
    name = held.name.strip(QUOTES) if held.tag is Tag.CONSTANT else ""
    found = tables.find_module(name, watcher.module) if name else ""
    if found:
        emit(watcher.into, value(Tag.MODULE, found))


_RULES: Mapping[type, Callable[..., None]] = {
    Load: load,
    Store: store,
    Bind: bind,
    Assign: assign,
    GetMember: get_member,
    Super: make_super,
    SuperOf: make_super_of,
    Call: call_value,
    Invoke: invoke,
    Handed: hand,
    Decorate: decorate,
    Raise: raise_value,
    Item: get_item,
    SetItem: set_item,
    Key: use_key,
    Overwrite: overwrite,
    Copy: copy,
    Update: update,
    Entry: copy_entry,
    Pair: put_pair,
    Iterate: iterate,
    Unpack: unpack,
    Next: take_next,
    Enter: enter,
    Dunder: run_dunder,
    Annotate: follow_annotation,
    Keep: keep,
    Maybe: maybe,
    ImportModule: import_module,
    Submodules: walk_submodules,
    Open: open_file,
    Parse: parse_file,
    Weights: take_weights,
}
