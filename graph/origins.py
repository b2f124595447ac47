"""Where numbers, weights and files came from: values that are followed only to say so.

An *origin* names the field, option, key or variable that stated a number or a text; it goes wherever that value goes, and through
arithmetic. *Weights* are the parameters of a module class, on their way to an optimizer. A *file* is a configuration file on its
way to the function that parses it; its keys are cells of the document that `graph.documents` reads.

Not followed: options of other libraries than argparse, and paths that are put together from pieces, but for their last one.
"""

from __future__ import annotations

from posixpath import normpath
from typing import TYPE_CHECKING

from graph.values import Argument, Call, Iterate, Keep, Open, Parse, Tag, Update, Value, Weights, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph.solver import Emit

    Origin = Callable[[Call, Emit], None]

PARSER = "argparse.ArgumentParser"
SUFFIXES = (".json", ".toml", ".yaml", ".yml")
ALL_BUT_ORIGINS = tuple(tag for tag in Tag if tag is not Tag.ORIGIN)  # what a field takes over: it is an origin itself
GIVES_WEIGHTS = frozenset({"parameters", "named_parameters"})
_GROUPS = frozenset({"add_argument_group", "add_mutually_exclusive_group", "add_subparsers", "add_parser"})
_PARSES = frozenset({"parse_args", "parse_intermixed_args"})
_PARSES_PART = frozenset({"parse_known_args", "parse_known_intermixed_args"})


def call_with_origin(path: str, held: Value, call: Call, emit: Emit) -> bool:
    """Apply what a library function does to origins, weights and files; say whether that was all that it does."""
    if path.startswith(PARSER):
        return _parse_options(path.removeprefix(f"{PARSER}."), held, call, emit)
    owner, _, last = path.rpartition(".")
    if last in GIVES_WEIGHTS and call.into:
        _give_weights(owner, held, call, emit)
    elif path in _ORIGINS and call.into:
        _ORIGINS[path](call, emit)
    return path == "itertools.chain"


def open_file(_tables: object, watcher: Open, held: Value, emit: Emit) -> None:
    """Follow the name of a configuration file: relative to the root, or to the folder of the file that names it."""
    if held.tag is Tag.FILE:
        emit(watcher.into, held)
    elif held.tag is Tag.CONSTANT and held.name.strip("'\"").endswith(SUFFIXES):
        path = normpath(held.name.strip("'\"")).removeprefix("../")
        emit(watcher.into, value(Tag.FILE, path))
        if watcher.folder:
            emit(watcher.into, value(Tag.FILE, f"{watcher.folder}/{path}"))


def parse_file(_tables: object, watcher: Parse, held: Value, emit: Emit) -> None:
    """Give what a parsed configuration file holds."""
    if held.tag is Tag.FILE:
        emit(watcher.into, value(Tag.DICT, f"{held.name}:"))


def take_weights(_tables: object, watcher: Weights, held: Value, emit: Emit) -> None:
    """Give the weights of a module, or of the modules in a container."""
    if held.tag is Tag.INSTANCE or (held.tag is Tag.MADE and _is_layer(held.name)):
        emit(watcher.into, value(Tag.WEIGHTS, held.name))
    elif held.tag is Tag.SEQUENTIAL:
        emit(f"{held.name}[]", watcher)


def _parse_options(method: str, held: Value, call: Call, emit: Emit) -> bool:
    receiver = held.of if isinstance(held.of, Value) else None
    if method == PARSER and call.into:
        emit(call.into, value(Tag.MADE, PARSER, call.site))
        return True
    if receiver is None:
        return False
    options = f"{receiver.of if isinstance(receiver.of, str) else receiver.name}'options"
    if method == "add_argument":
        emit(f"{call.site}'option", Update(options))
    elif method in _GROUPS:
        emit(call.into, receiver)
        return True
    elif method in _PARSES:
        emit(call.into, value(Tag.NAMESPACE, options))
        return True
    elif method in _PARSES_PART:
        pair = f"{call.into}'parsed"
        emit(call.into, value(Tag.LIST, pair, 2))
        emit(f"{pair}[0]", value(Tag.NAMESPACE, options))
        return True
    return False


def _give_weights(owner: str, held: Value, call: Call, emit: Emit) -> None:
    if isinstance(held.of, Value):
        emit(f"{call.site}'module", held.of)
        emit(f"{call.site}'module", Weights(call.into))
    elif _is_layer(owner):
        emit(call.into, value(Tag.WEIGHTS, owner))


def _is_layer(path: str) -> bool:
    owner, _, kind = path.rpartition(".")
    return owner.startswith("torch.nn") and kind[:1].isupper() and kind != "Module"


def _first(call: Call) -> Argument | None:
    return next((a for a in call.arguments if a.cell), None)


def _open(call: Call, emit: Emit) -> None:
    module = call.site.partition(":")[0]
    for argument in call.arguments:
        if argument.cell:
            emit(argument.cell, Open(call.into, module.rpartition(".")[0].replace(".", "/")))


def _parse(call: Call, emit: Emit) -> None:
    first = _first(call)
    if first is not None:
        emit(first.cell, Parse(call.into))


def _as_dictionary(call: Call, emit: Emit) -> None:
    """vars(x), asdict(x): a dictionary of the attributes."""
    first = _first(call)
    if first is not None:
        emit(call.into, value(Tag.DICT, call.into))
        emit(first.cell, Update(call.into))


def _size(call: Call, emit: Emit) -> None:
    """int(x), max(x, y): still that number."""
    for argument in call.arguments:
        if argument.cell:
            emit(argument.cell, Keep(call.into, (Tag.ORIGIN,)))


def _chain(call: Call, emit: Emit) -> None:
    emit(call.into, value(Tag.LIST, call.into))
    emit(f"{call.into}[*]", f"{call.into}[]")
    for argument in call.arguments:
        if argument.cell:
            emit(argument.cell, Iterate(f"{call.into}[*]", call.site))


_PARSERS = {
    "json": ("load", "loads"), "tomllib": ("load", "loads"), "tomli": ("load", "loads"), "toml": ("load", "loads"),
    "yaml": ("load", "safe_load", "full_load", "unsafe_load"),
}  # fmt: skip
_ORIGINS: dict[str, Origin] = {
    **dict.fromkeys(("builtins.open", "io.open", "codecs.open", "pathlib.Path", "builtins.str"), _open),
    **{f"os.path.{name}": _open for name in ("join", "abspath", "realpath", "expanduser")},
    **{f"{library}.{name}": _parse for library, names in _PARSERS.items() for name in names},
    **dict.fromkeys(("builtins.vars", "dataclasses.asdict"), _as_dictionary),
    **{f"builtins.{name}": _size for name in ("int", "round", "max", "min", "abs")},
    **{f"math.{name}": _size for name in ("ceil", "floor")},
    "itertools.chain": _chain,
}
