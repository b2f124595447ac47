"""How the arguments of a call reach the parameters of a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.elements import entry
from graph.values import Item, Iterate, Tag, Unpack, Update, value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from graph.facts import FunctionFacts
    from graph.values import Arguments, Constraint

_BY_PLACE = ("positional", "either")
_BY_NAME = ("either", "keyword")


def match(function: FunctionFacts, arguments: Arguments, bound: int = 0) -> Iterator[Constraint]:
    """Say how arguments reach parameters, of which the first `bound` are taken: flows, and watchers for `*` and `**`."""
    positional = [p.cell for p in function.parameters[bound:] if p.kind in _BY_PLACE]
    named = {p.name: p.cell for p in function.parameters if p.kind in _BY_NAME}
    kinds = {p.kind for p in function.parameters}
    star = f"{function.slot}*" if "star" in kinds else ""
    double = f"{function.slot}**" if "double-star" in kinds else ""
    place = 0
    for name, cell in arguments:
        if not cell:
            place += not name
        elif name == "*":
            yield from _unpacked(cell, positional[place:], star)
            place = len(positional)
        elif name == "**":
            yield from _spread(cell, named, double)
        elif name in named:
            yield cell, named[name]
        elif name:
            yield from _named_entry(cell, name, double)
        else:
            if place < len(positional):
                yield cell, positional[place]
            elif star:
                yield from entry(star, str(place - len(positional)), cell)
            place += 1


def _unpacked(cell: str, positional: Sequence[str], star: str) -> Iterator[Constraint]:
    """Walk what `*cell` gives: to the parameters that are left by place, and to `*args`."""
    yield from ((cell, Unpack(index, parameter, "")) for index, parameter in enumerate(positional))
    if star:
        yield cell, Iterate(f"{star}[*]", "")
        yield f"{star}[*]", f"{star}[]"


def _spread(cell: str, named: Mapping[str, str], double: str) -> Iterator[Constraint]:
    """Walk what `**cell` gives: to the parameters by name, and to `**kwargs`."""
    yield from ((cell, Item(repr(name), parameter, "")) for name, parameter in named.items())
    if double:
        yield cell, Update(double)


def _named_entry(cell: str, name: str, double: str) -> Iterator[Constraint]:
    """Walk what a keyword gives that no parameter has: an entry of `**kwargs`."""
    if double:
        yield from entry(double, repr(name), cell)
        yield f"{double}[key]", value(Tag.CONSTANT, repr(name))
