"""What operators and statements do with a value: they run its special methods, iterate over it, unpack it, enter it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.elements import length, take, versions
from graph.libraries import CONTAINER_BASES
from graph.model import Rule
from graph.values import Call, Dunder, Enter, Handed, Invoke, Iterate, Next, Tag, Unpack, Value, value

if TYPE_CHECKING:
    from graph.solver import Emit
    from graph.tables import Tables

_DATASET_METHODS = ("__len__", "__iter__")  # that a data loader may ask of its dataset


def run_dunder(tables: Tables, watcher: Dunder, held: Value, emit: Emit) -> None:
    """Run a special method, where the class has one of ours."""
    if held.tag is Tag.INSTANCE:
        run_method(tables, watcher, held, emit)
    elif held.tag is Tag.MADE and isinstance(held.of, str) and watcher.name in _DATASET_METHODS:
        emit(f"{held.of}'dataset", watcher)


def run_method(tables: Tables, watcher: Dunder, instance: Value, emit: Emit) -> bool:
    """Run a special method of an instance; say whether its class has one of ours."""
    owner = tables.body_owner(instance.name, watcher.name) if watcher.site else ""
    if owner:
        call = Call(watcher.arguments, watcher.site, watcher.into, watcher.rule)
        emit(f"{owner}>{watcher.name}", Invoke(instance, call))
    return bool(owner)


def holds_modules(tables: Tables, slot: str) -> bool:
    """Whether a class of ours is a torch container of modules, whose elements are in the cell `slot![]`."""
    return any(base in CONTAINER_BASES for base in tables.external_bases(slot))


def iterate(tables: Tables, watcher: Iterate, held: Value, emit: Emit) -> None:
    """Iterate over a value."""
    tag, into = held.tag, watcher.into
    if tag is Tag.LIST or tag is Tag.SEQUENTIAL or tag is Tag.DICT:
        part = "[key]" if tag is Tag.DICT else "[]"
        for container in versions(held):
            emit(f"{container}{part}", into)
    elif tag is Tag.WEIGHTS:
        emit(into, held)
    elif tag is Tag.GENERATOR:
        _run_generator(watcher, held, emit)
    elif tag is Tag.INSTANCE:
        _iterate_instance(tables, watcher, held, emit)
    elif tag is Tag.CLASS and tables.is_enum(held.name):
        emit(into, value(Tag.INSTANCE, held.name))
    elif tag is Tag.MADE and isinstance(held.of, str):
        _iterate_loader(watcher, held.of, emit)


def unpack(tables: Tables, watcher: Unpack, held: Value, emit: Emit) -> None:
    """Take one element of a sequence, or what a starred target takes."""
    if held.tag is Tag.LIST:
        _unpack_list(watcher, held, emit)
    elif held.tag is Tag.SEQUENTIAL and watcher.stop is None and watcher.index >= 0:
        take(held, str(watcher.index), watcher.into, emit)
    else:
        iterate(tables, Iterate(watcher.into, watcher.site), held, emit)


def take_next(tables: Tables, watcher: Next, held: Value, emit: Emit) -> None:
    """Take what an iterator gives."""
    if held.tag is Tag.INSTANCE:
        for name in ("__next__", "__anext__"):
            run_method(tables, Dunder(name, (), watcher.into, watcher.site), held, emit)
    elif held.tag in (Tag.GENERATOR, Tag.LIST, Tag.DICT, Tag.WEIGHTS, Tag.MADE):
        iterate(tables, Iterate(watcher.into, watcher.site), held, emit)


def enter(tables: Tables, watcher: Enter, held: Value, emit: Emit) -> None:
    """Enter a context manager."""
    if held.tag is Tag.INSTANCE:
        _enter_instance(tables, watcher, held, emit)
    elif held.tag is Tag.GENERATOR:
        _run_generator(watcher, held, emit)
    elif watcher.into and held.tag in (Tag.MADE, Tag.EXTERNAL, Tag.FILE):
        emit(watcher.into, held)


def _run_generator(watcher: Iterate | Enter, held: Value, emit: Emit) -> None:
    """Run a generator: its site runs the function, what it yields arrives."""
    if watcher.site:
        emit(f"{watcher.site}()", value(Tag.RUNS, held.name, Rule.PROTOCOL))
    if watcher.into:
        emit(f"{held.name}@yield", watcher.into)


def _iterate_instance(tables: Tables, watcher: Iterate, held: Value, emit: Emit) -> None:
    """Run `__iter__` and what it gives, or the older protocol of `__getitem__`."""
    into, site = watcher.into, watcher.site
    iterator = f"{site}'{held.name}"
    made = [run_method(tables, Dunder(name, (), iterator, site), held, emit) for name in ("__iter__", "__aiter__")]
    if any(made):
        emit(iterator, Next(into, site))
    elif holds_modules(tables, held.name):
        emit(f"{held.name}![]", into)
    elif not run_method(tables, Dunder("__getitem__", (), into, site), held, emit):
        run_method(tables, Dunder("__next__", (), into, site), held, emit)


def _iterate_loader(watcher: Iterate, loader: str, emit: Emit) -> None:
    """Run the methods of the dataset of a data loader, and its collate function."""
    for name, into in (("__getitem__", f"{watcher.site}'item"), ("__iter__", f"{watcher.site}'item"), ("__len__", "")):
        emit(f"{loader}'dataset", Dunder(name, (), into, watcher.site))
    emit(f"{loader}'collate", Handed((), watcher.site, watcher.into, Rule.HANDED))


def _unpack_list(watcher: Unpack, held: Value, emit: Emit) -> None:
    size, index, into = length(held), watcher.index, watcher.into
    if watcher.stop is not None:
        emit(into, value(Tag.LIST, into))
        if size is None:
            emit(f"{held.name}[]", f"{into}[*]")
            emit(f"{into}[*]", f"{into}[]")
        for place in range(index, (size or 0) - watcher.stop):
            emit(f"{held.name}[{place}]", f"{into}[{place - index}]")
            emit(f"{into}[{place - index}]", f"{into}[]")
    elif index < 0 and size is None:
        emit(f"{held.name}[]", into)
    else:
        emit(f"{held.name}[{index if index >= 0 else (size or 0) + index}]", into)
        emit(f"{held.name}[*]", into)


def _enter_instance(tables: Tables, watcher: Enter, held: Value, emit: Emit) -> None:
    into, site = watcher.into, watcher.site
    entered = [run_method(tables, Dunder(name, (), into, site), held, emit) for name in ("__enter__", "__aenter__")]
    for name in ("__exit__", "__aexit__"):
        run_method(tables, Dunder(name, (), "", site), held, emit)
    if into and not any(entered):
        emit(into, held)
