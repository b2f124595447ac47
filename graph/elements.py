"""Where the elements of containers are: how they are read and written, by statements and by the methods of containers.

A container named `c` has a cell per known key (`c[0]`, `c['a']`), one for the elements that may stand anywhere (`c[*]`), one that
holds all of them (`c[]`) and, where it is a dictionary, one for its keys (`c[key]`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.model import Rule
from graph.values import Argument, Handed, Iterate, Key, Maybe, Tag, Update, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from graph.solver import Emit
    from graph.values import Arguments, Call, Constraint, Item, Value

    Method = Callable[[Value, str, Call, Emit], None]

QUOTES = "'\""
PAIR = 2  # elements: a key and its value
CONTAINERS = (Tag.LIST, Tag.DICT, Tag.SEQUENTIAL)
_TYPES = {Tag.LIST: "builtins.list", Tag.DICT: "builtins.dict"}


def entry(container: str, key: str, cell: str) -> Iterator[Constraint]:
    """Walk the constraints that put a cell into a container."""
    yield cell, f"{container}[{key}]"
    yield cell, f"{container}[]"


def older(held: Value) -> Arguments:
    """Return the older versions of a container, each with the key that it last overwrote."""
    return held.of[1] if isinstance(held.of, tuple) else ()


def versions(held: Value) -> list[str]:
    """Return the container and the older versions of it that it stands for."""
    return [held.name, *(argument.cell for argument in older(held))]


def overwritten(held: Value) -> str:
    """Return the key that this version of a container overwrote; empty where it is the first."""
    return held.of[0] if isinstance(held.of, tuple) else ""


def length(held: Value) -> int | None:
    """Return how many elements a container has, where that is known."""
    return held.of if isinstance(held.of, int) else None


def take(held: Value, key: str, into: str, emit: Emit) -> None:
    """Read an element from a container, or from the version of it that last wrote the key; without a key any of them."""
    if not into:
        return
    if not key:
        for container in versions(held):
            emit(f"{container}[]", into)
        return
    if key.startswith("-") and isinstance(held.of, int):
        key = str(held.of + int(key))
    elif key.startswith("-"):
        emit(f"{held.name}[]", into)
    for container, written in ((held.name, overwritten(held)), *((a.cell, a.name) for a in older(held))):
        emit(f"{container}[{key}]", into)
        emit(f"{container}[*]", into)
        if written == key:
            return


def take_maybe(held: Value, into: str, emit: Emit) -> None:
    """Read the element at a key that only runs know: it may be any."""
    for container in versions(held):
        emit(f"{container}[]", Maybe(into))


def take_slice(held: Value, watcher: Item, emit: Emit) -> None:
    """Read a slice: with a known start the places shift, else any element may be anywhere."""
    into, start, size = watcher.into, watcher.key[1:], length(held)
    emit(into, value(Tag.LIST, into))
    if start.isdigit() and size is not None:
        for place in range(int(start), size):
            add(into, str(place - int(start)), f"{held.name}[{place}]", emit)
        add(into, "*", f"{held.name}[*]", emit)
    else:
        add(into, "*", f"{held.name}[]", emit)


def add(container: str, key: str, cell: str, emit: Emit) -> None:
    """Put a cell into one container."""
    emit(cell, f"{container}[{key}]")
    emit(cell, f"{container}[]")


def put(held: Value, key: str, cell: str, emit: Emit) -> None:
    """Put a cell into a container and its older versions."""
    if cell:
        for container in versions(held):
            add(container, key, cell, emit)
            if key[:1] in QUOTES:
                emit(f"{container}[key]", value(Tag.CONSTANT, key))


def call_container_method(container: Value, name: str, call: Call, emit: Emit) -> None:
    """Call a method of a container."""
    kind = _TYPES.get(container.tag) or f"{container.of}"
    if not (kind == "builtins.dict" and name == "update"):
        emit(f"{call.site}()", value(Tag.RUNS, f"{kind}.{name}", Rule.EXTERNAL))
    method = _METHODS.get(name)
    if method is not None:
        method(container, name, call, emit)


def _grow(container: Value, _name: str, call: Call, emit: Emit) -> None:
    """x.append(y), x.insert(0, y): the last argument is an element."""
    if call.arguments:
        put(container, "*", call.arguments[-1].cell, emit)


def _extend(container: Value, _name: str, call: Call, emit: Emit) -> None:
    """x.extend(y)."""
    if call.arguments:
        emit(call.arguments[0].cell, Iterate(f"{container.name}[*]", call.site))
        emit(f"{container.name}[*]", f"{container.name}[]")


def _update(container: Value, _name: str, call: Call, emit: Emit) -> None:
    """x.update(y, key=z)."""
    for argument in call.arguments:
        if argument.name and argument.name != "**":
            put(container, f"'{argument.name}'", argument.cell, emit)
        elif argument.cell:
            emit(argument.cell, Update(container.name))


def _pick(container: Value, name: str, call: Call, emit: Emit) -> None:
    """x.get(key, default), x.pop(key), x.setdefault(key, default): an element, or what stands in for it."""
    key = call.arguments[0].cell if call.arguments else ""
    if key and container.tag is Tag.DICT and call.into:
        emit(key, Key(container, into=call.into))
        if ":=" not in key:  # a literal is one key
            take_maybe(container, call.into, emit)
    else:
        take(container, "", call.into, emit)
    for argument in call.arguments[1:]:
        if argument.cell:
            emit(argument.cell, call.into)
            if name == "setdefault":
                put(container, "*", argument.cell, emit)


def _sort(container: Value, _name: str, call: Call, emit: Emit) -> None:
    """x.sort(key=f)."""
    for argument in call.arguments:
        if argument.name == "key" and argument.cell:
            element = (Argument("", f"{container.name}[]"),)
            emit(argument.cell, Handed(element, call.site, "", Rule.HANDED))


def _copy(container: Value, _name: str, call: Call, emit: Emit) -> None:
    """x.copy(): the container itself, since what is put into the copy later is not told apart."""
    if call.into:
        emit(call.into, container)


def _view(container: Value, name: str, call: Call, emit: Emit) -> None:
    """x.values(), x.keys(), x.items()."""
    if not call.into:
        return
    view = f"{call.into}'{name}"
    emit(call.into, value(Tag.LIST, view))
    if name == "items":
        pair = f"{view}'pair"
        emit(f"{view}[]", value(Tag.LIST, pair, PAIR))
        emit(f"{view}[*]", value(Tag.LIST, pair, PAIR))
        take(container, "", f"{pair}[1]", emit)
        emit(f"{container.name}[key]", f"{pair}[0]")
        emit(f"{pair}[1]", f"{pair}[]")
    elif name == "keys":
        emit(f"{container.name}[key]", f"{view}[]")
    else:
        take(container, "", f"{view}[]", emit)
        emit(f"{view}[]", f"{view}[*]")


_METHODS: Mapping[str, Method] = {
    **dict.fromkeys(("append", "add", "appendleft", "insert", "push"), _grow),
    **dict.fromkeys(("get", "pop", "setdefault", "__getitem__", "popleft", "popitem"), _pick),
    **dict.fromkeys(("values", "keys", "items", "most_common", "elements"), _view),
    "extend": _extend,
    "update": _update,
    "sort": _sort,
    "copy": _copy,
}
