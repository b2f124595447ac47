"""The vocabulary of the resolver: what a name may stand for, and what happens where such a value arrives.

A *cell* is a place that holds values: a definition of a name, an attribute of a class, an element of a container, the result of a
call. It is named by a string that starts with the module that owns it. A *constraint* is a pair (cell, thing): a value that it
holds, the name of a cell that its values flow to, or a watcher that acts on every value that arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from graph.model import Rule


class Tag(StrEnum):
    """What a value is."""

    FUNCTION = "function"  # a function or lambda of ours, by slot
    METHOD = "method"  # a function bound to its receiver `of`
    CLASS = "class"
    INSTANCE = "instance"  # an instance of a class of ours
    MODULE = "module"
    SUPER = "super"  # super() of the receiver `of`, looking behind the class `name`
    EXTERNAL = "external"  # an object outside the sources, by import path; `of` is the receiver when it is ours
    MADE = "made"  # what calling an external gave; `of` is the call site where its arguments matter
    LIST = "list"  # a list, tuple or set, by the cell that made it; `of` is its length, or the older versions of it
    DICT = "dict"
    NAMESPACE = "namespace"  # an object whose attributes were given as keywords
    SEQUENTIAL = "sequential"  # calling it calls its elements
    CONTAINER_METHOD = "container-method"  # `name` of the container `of`
    GENERATOR = "generator"  # what calling a generator function gave
    PARTIAL = "partial"  # functools.partial at site `name`; `of` holds its function's cell and its arguments
    CONSTANT = "constant"  # a string or small integer, by its repr: a key
    PROPERTY = "property"  # property(getter, setter) at a site
    ORIGIN = "origin"  # goes with a number or text and says which field, option, key or variable stated it, by slot
    WEIGHTS = "weights"  # the parameters of a module class
    FILE = "file"  # a configuration file, by path: opened, read, or just named
    RUNS = "runs"  # in the cell of a site: it runs `name` by the rule `of`


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One thing that a cell may hold. Equal values are the same object."""

    tag: Tag
    name: str
    of: Value | str | int | tuple[str, Arguments] | None = None
    may: bool = False  # picked by a key that only runs know
    stays: bool = False  # a member of what a library made: it matters where it is called, and is not followed further

    def __repr__(self) -> str:
        return f"{self.tag.value}:{self.name}" + (f"({self.of!r})" if self.of is not None else "") + "?" * self.may


def value(
    tag: Tag, name: str, of: Value | str | int | tuple[str, Arguments] | None = None, *, may: bool = False
) -> Value:
    """Return the one Value of these parts."""
    return _intern(tag, name, of, may)


@cache
def _intern(tag: Tag, name: str, of: Value | str | int | tuple[str, Arguments] | None, may: bool) -> Value:
    member = tag is Tag.EXTERNAL and isinstance(of, int)
    of_class = member and of == 1 and not name.startswith("torch.") and name.split(".")[-2][:1].isupper()
    return Value(tag, name, of, may=may, stays=member and not of_class)


class Argument(NamedTuple):
    """An argument of a call: its keyword, `*`, `**` or nothing, and the cell of its value (empty when it holds none)."""

    name: str
    cell: str


Arguments = tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Reading `attr` of what arrives gives the cell `into`; a getter runs at `site`."""

    attr: str
    into: str
    site: str


@dataclass(frozen=True, slots=True)
class Store:
    """The values of `cell` are assigned to `attr` of what arrives; a setter runs at `site`."""

    attr: str
    cell: str
    site: str


@dataclass(frozen=True, slots=True)
class Call:
    """What arrives is called at `site`; the result goes to `into`. `rule` says why, when it is not a plain call."""

    arguments: Arguments
    site: str
    into: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """`what arrives[key]` goes to `into`. An empty key is unknown; `by` is the cell that may hold it.

    The key `*` is one that counts: any element of a list, while a dictionary is still asked by the cell.
    """

    key: str
    into: str
    site: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class SetItem:
    """`what arrives[key] = cell`."""

    key: str
    cell: str
    site: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """What arrives is the key of an access to `of`: its element or member goes to `into`, or `cell` is stored there."""

    of: Value
    into: str = ""
    cell: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What arrives is a key of the dictionary `source`, whose entry is copied to `into`: a dictionary, or the fields of a class."""

    source: str
    into: str
    fields: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """The entries of what arrives are copied to `into`: a dictionary, or the fields of a class."""

    into: str
    fields: bool = False


@dataclass(frozen=True, slots=True)
class Overwrite:
    """`name[key] = cell` in straight-line code: `into` is the version of the container of which the key holds nothing else."""

    key: str
    cell: str
    into: str


@dataclass(frozen=True, slots=True)
class Copy:
    """What arrives is a container whose elements are copied to `into`; `modules`: or a module, which is its one element."""

    into: str
    site: str
    modules: bool = False


@dataclass(frozen=True, slots=True)
class Submodules:
    """The modules that what arrives holds are the elements of `into`; `deep`: at any depth, and itself; `named`: in pairs."""

    into: str
    deep: bool
    named: bool
    level: int


@dataclass(frozen=True, slots=True)
class ImportModule:
    """What arrives is the name of a module that `module` imports; it goes to `into`."""

    into: str
    module: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """What arrives may be what a key picks that only runs know; it goes to `into`."""

    into: str


@dataclass(frozen=True, slots=True)
class SuperOf:
    """What arrives is the class of `super(class, receiver)`, whose receiver is in a cell."""

    receiver: str
    into: str


@dataclass(frozen=True, slots=True)
class Next:
    """What arrives is an iterator: what it gives goes to `into`."""

    into: str
    site: str


@dataclass(frozen=True, slots=True)
class Iterate:
    """The elements of what arrives go to `into`."""

    into: str
    site: str


@dataclass(frozen=True, slots=True)
class Unpack:
    """The element at `index` of what arrives goes to `into`; with a star, all from `index` to `stop` (counted from the end)."""

    index: int
    into: str
    site: str
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Enter:
    """`with what arrives as into`."""

    into: str
    site: str


@dataclass(frozen=True, slots=True)
class Annotate:
    """What arrives is the annotation of `into`; `ours`: only classes of ours count, since values say the rest."""

    into: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Decorate:
    """What arrives decorates the function or class in `cell`; the result goes to `into`."""

    cell: str
    into: str
    site: str


@dataclass(frozen=True, slots=True)
class Dunder:
    """An operator or statement runs the method `name` of what arrives; its result goes to `into`."""

    name: str
    arguments: Arguments
    into: str
    site: str
    rule: str = Rule.PROTOCOL


@dataclass(frozen=True, slots=True)
class Bind:
    """What arrives is a class attribute that an access at `site` takes through the receiver; it goes to `into`."""

    receiver: Value
    into: str
    site: str


@dataclass(frozen=True, slots=True)
class Assign:
    """What arrives is a class attribute: a property takes the values of `cell` through its setter."""

    receiver: Value
    cell: str
    site: str


@dataclass(frozen=True, slots=True)
class Invoke:
    """What arrives is a class attribute that is called at `site` with the receiver in front."""

    receiver: Value
    call: Call


@dataclass(frozen=True, slots=True)
class Handed:
    """What arrives was handed to a library, which may call it: with these arguments at `site`."""

    arguments: Arguments
    site: str
    into: str
    rule: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Only containers, or only instances, pass on to `into`: operators and wrappers that keep what they were given."""

    into: str
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Raise:
    """A class or instance that is raised at `site`."""

    site: str


@dataclass(frozen=True, slots=True)
class Super:
    """What arrives is the receiver of a super() in a method of `owner`."""

    owner: str
    into: str


@dataclass(frozen=True, slots=True)
class GetMember:
    """getattr with a name that is only known when it runs: the classes and functions of what arrives go to `into`."""

    into: str
    by: str


@dataclass(frozen=True, slots=True)
class Pair:
    """The pairs of keys and values that arrive are entries of the dictionary `into`."""

    into: str


@dataclass(frozen=True, slots=True)
class Open:
    """What arrives may name a configuration file, from `folder` or from the root; the file goes to `into`."""

    into: str
    folder: str


@dataclass(frozen=True, slots=True)
class Parse:
    """What arrives is parsed: what the configuration file holds goes to `into`."""

    into: str


@dataclass(frozen=True, slots=True)
class Weights:
    """The parameters of the modules that arrive go to `into`."""

    into: str


Watcher = (
    Load | Store | Call | Item | SetItem | Key | Iterate | Unpack | Enter | Annotate | Decorate | Dunder | Bind | Assign
    | Invoke | Handed | Keep | Raise | Super | GetMember | Entry | Update | Overwrite | Next | Maybe
    | SuperOf | Copy | ImportModule | Submodules | Pair | Open | Parse | Weights
)  # fmt: skip
Constraint = tuple[str, Value | str | Watcher]
