"""What library functions do with the values that they are given: data, one line per idiom.

Only what hands functions, classes, instances or containers on is listed; everything else is an external call that gives an object
of its own import path. Names are import paths, checked against the imports of the file, never words in the source.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from graph.elements import add
from graph.libraries import CONTAINER_BASES, LOADERS
from graph.model import Rule
from graph.values import (
    Argument,
    Call,
    Copy,
    Dunder,
    Handed,
    ImportModule,
    Iterate,
    Keep,
    Next,
    Store,
    Tag,
    Update,
    Value,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph.solver import Emit

    Idiom = Callable[[Call, Emit], None]

_LISTS = ("list", "tuple", "set", "frozenset", "reversed")
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
_RUN_DUNDER = ("len", "str", "repr", "bool", "int", "float", "hash", "abs", "round", "format")


def act_on_library(path: str, held: Value, call: Call, emit: Emit) -> bool:
    """Apply the idiom of a library function; say whether that was all that it does."""
    idiom = _IDIOMS.get(path) or _IDIOMS.get(f"*.{path.rpartition('.')[2]}")
    if idiom is None:
        return False
    idiom(call, emit)
    return path in _COMPLETE


def _cell(call: Call, place: int) -> str:
    """Return the cell of an argument by place."""
    positional = [a.cell for a in call.arguments if not a.name]
    return positional[place] if place < len(positional) else ""


def _named(call: Call, name: str) -> str:
    """Return the cell of an argument that is always given by name."""
    return next((a.cell for a in call.arguments if a.name == name), "")


def _partial(call: Call, emit: Emit) -> None:
    if call.arguments and call.into and call.arguments[0].cell:
        emit(call.into, value(Tag.PARTIAL, call.site, (call.arguments[0].cell, call.arguments[1:])))


def _made_list(call: Call, emit: Emit) -> None:
    """list(x), sorted(x): a new list of the elements."""
    source = _cell(call, 0)
    if call.into:
        emit(call.into, value(Tag.LIST, call.into))
        emit(f"{call.into}[*]", f"{call.into}[]")
        if source:
            emit(source, Copy(call.into, call.site))


def _iter(call: Call, emit: Emit) -> None:
    """iter(x): x where it gives its own elements, and what its `__iter__` returns."""
    source = _cell(call, 0)
    if source and call.into:
        emit(source, Keep(call.into, (Tag.LIST, Tag.DICT, Tag.SEQUENTIAL, Tag.GENERATOR, Tag.MADE, Tag.INSTANCE)))
        emit(source, Dunder("__iter__", (), call.into, call.site))


def _sorted(call: Call, emit: Emit) -> None:
    _made_list(call, emit)
    _apply_key(call, emit)


def _apply_key(call: Call, emit: Emit) -> None:
    key, source = _named(call, "key"), _cell(call, 0)
    if key:
        emit(key, Handed((Argument("", f"{call.site}'each"),), call.site, "", Rule.HANDED))
        if source:
            emit(source, Iterate(f"{call.site}'each", call.site))


def _pick(call: Call, emit: Emit) -> None:
    """max(x, key=f), min(x), next(x): one of the elements."""
    _apply_key(call, emit)
    source = _cell(call, 0)
    if call.into and source:
        emit(source, Iterate(call.into, call.site))


def _next(call: Call, emit: Emit) -> None:
    iterator, default = _cell(call, 0), _cell(call, 1)
    if call.into and iterator:
        emit(iterator, Next(call.into, call.site))
        if default:
            emit(default, call.into)


def _made_dict(call: Call, emit: Emit) -> None:
    if not call.into:
        return
    emit(call.into, value(Tag.DICT, call.into))
    for argument in call.arguments:
        if argument.name and argument.name != "**" and argument.cell:
            key = repr(argument.name)
            emit(f"{call.into}[key]", value(Tag.CONSTANT, key))
            add(call.into, key, argument.cell, emit)
        elif argument.cell:
            emit(argument.cell, Update(call.into))


def _namespace(call: Call, emit: Emit) -> None:
    if not call.into:
        return
    emit(call.into, value(Tag.NAMESPACE, call.into))
    for argument in call.arguments:
        if argument.name == "**" and argument.cell:
            emit(argument.cell, Update(call.into))
        elif argument.name and argument.cell:
            add(call.into, repr(argument.name), argument.cell, emit)


def _tuples(*, counted: bool) -> Idiom:
    """enumerate(x), zip(x, y): a list of pairs."""

    def idiom(call: Call, emit: Emit) -> None:
        if not call.into:
            return
        pair = f"{call.into}'pair"
        cells = [a.cell for a in call.arguments if not a.name]
        for argument in call.arguments:
            if argument.name == "*" and argument.cell:
                emit(argument.cell, Iterate(f"{call.into}'rows", call.site))
                emit(f"{call.into}'rows", Iterate(f"{pair}[*]", call.site))
                emit(f"{pair}[*]", f"{pair}[]")
        cells = ["", *cells[:1]] if counted else cells
        emit(call.into, value(Tag.LIST, call.into))
        emit(f"{call.into}[]", value(Tag.LIST, pair, len(cells)))
        for place, cell in enumerate(cells):
            if cell:
                emit(cell, Iterate(f"{pair}[{place}]", call.site))
                emit(f"{pair}[{place}]", f"{pair}[]")

    return idiom


def _map(call: Call, emit: Emit) -> None:
    """map(f, x, ...): every function among the arguments runs on the elements of the others."""
    if not call.into:
        return
    emit(call.into, value(Tag.LIST, call.into))
    emit(f"{call.into}[*]", f"{call.into}[]")
    for argument in call.arguments:
        if argument.cell:
            others = tuple(Argument("", f"{a.cell}'each") for a in call.arguments if a.cell and a is not argument)
            emit(argument.cell, Handed(others, call.site, f"{call.into}[*]", Rule.HANDED))
            emit(argument.cell, Iterate(f"{argument.cell}'each", call.site))


def _filter(call: Call, emit: Emit) -> None:
    function, source = _cell(call, 0), _cell(call, 1)
    if call.into and source:
        emit(source, Iterate(f"{call.into}[]", call.site))
        emit(call.into, value(Tag.LIST, call.into))
        if function:
            emit(function, Handed((Argument("", f"{call.into}[]"),), call.site, "", Rule.HANDED))


def _reduce(call: Call, emit: Emit) -> None:
    function = _cell(call, 0)
    if function:
        emit(function, Handed((), call.site, call.into, Rule.HANDED))


def _contain(path: str, call: Call, emit: Emit) -> None:
    """nn.Sequential(...), nn.ModuleList([...]), nn.ModuleDict({...}): modules that run, or are iterated, in order."""
    into = call.into
    if not into:
        return
    emit(into, value(Tag.SEQUENTIAL, into, path))
    emit(f"{into}[*]", f"{into}[]")
    for place, argument in enumerate(call.arguments):
        if not argument.cell:
            continue
        if argument.name == "*":
            emit(argument.cell, Iterate(f"{into}[*]", call.site))
        elif len(call.arguments) == 1:
            emit(argument.cell, Copy(into, call.site, modules=True))
        else:
            emit(argument.cell, f"{into}[{place}]")
            emit(f"{into}[{place}]", f"{into}[]")


def _dataloader(call: Call, emit: Emit) -> None:
    dataset, collate = _named(call, "dataset") or _cell(call, 0), _named(call, "collate_fn")
    if dataset:
        emit(dataset, f"{call.site}'dataset")
    if collate:
        emit(collate, f"{call.site}'collate")
    emit(f"{call.site}'dataset", Dunder("__len__", (), "", call.site, Rule.CALLBACK))  # a sampler may ask for it


def _method(name: str) -> Idiom:
    """len(x), str(x): the dunder of the argument runs."""

    def idiom(call: Call, emit: Emit) -> None:
        receiver = _cell(call, 0)
        if receiver:
            emit(receiver, Dunder(name, (), call.into, call.site))

    return idiom


def _nothing(_call: Call, _emit: Emit) -> None:
    """setattr(x, name, value): a name that only runs tell is not followed."""


def _replace(call: Call, emit: Emit) -> None:
    """dataclasses.replace(x, field=v), copy.copy(x): an object of the same class."""
    source = _cell(call, 0)
    if call.into and source:
        emit(source, call.into)
        emit(source, Dunder("__post_init__", (), "", call.site, Rule.HANDED))
        for argument in call.arguments:
            if argument.name not in ("", "*", "**") and argument.cell:
                emit(source, Store(argument.name, argument.cell, call.site))


def _same(call: Call, emit: Emit) -> None:
    source = _cell(call, 0)
    if call.into and source:
        emit(source, call.into)


def _field(call: Call, emit: Emit) -> None:
    """dataclasses.field(default=x, default_factory=f)."""
    default, factory = _named(call, "default"), _named(call, "default_factory")
    if call.into and default:
        emit(default, call.into)
    if call.into and factory:
        emit(factory, Call((), call.site, call.into, Rule.HANDED))


def _checkpoint(call: Call, emit: Emit) -> None:
    """torch.utils.checkpoint.checkpoint(module, x): runs it now, and once more on the way back."""
    module = _cell(call, 0)
    if module:
        arguments = tuple(a for a in call.arguments[1:] if not a.name)
        emit(module, Call(arguments, call.site, call.into, Rule.HANDED))


def _property(call: Call, emit: Emit) -> None:
    if call.into and call.arguments:
        emit(call.into, value(Tag.PROPERTY, call.site, ("", call.arguments)))


def _defaultdict(call: Call, emit: Emit) -> None:
    """A dictionary whose missing entries are what its factory makes."""
    factory = _cell(call, 0)
    if call.into:
        emit(call.into, value(Tag.DICT, call.into))
        emit(f"{call.into}[*]", f"{call.into}[]")
        if factory:
            emit(factory, Call((), call.site, f"{call.into}[*]", Rule.HANDED))


def _save(call: Call, emit: Emit) -> None:
    """torch.save(x): every torch.load of the repository may give it."""
    saved = _cell(call, 0)
    if saved:
        emit(saved, "torch!saved")


def _load(call: Call, emit: Emit) -> None:
    """torch.load: what some torch.save of the repository was given."""
    if call.into:
        emit("torch!saved", call.into)


def _log(call: Call, emit: Emit) -> None:
    for argument in call.arguments:
        if argument.cell:
            emit(argument.cell, Dunder("__str__", (), "", call.site))


def _import_module(call: Call, emit: Emit) -> None:
    name = _cell(call, 0)
    if call.into and name:
        emit(name, ImportModule(call.into, call.site.partition(":")[0]))


def _thread(call: Call, emit: Emit) -> None:
    target = _named(call, "target")
    if target:
        emit(target, Handed((), call.site, "", Rule.HANDED))


_IDIOMS: dict[str, Idiom] = {
    "functools.partial": _partial,
    "importlib.import_module": _import_module,
    **dict.fromkeys((f"builtins.{name}" for name in _LISTS), _made_list),
    "builtins.sorted": _sorted,
    "builtins.iter": _iter,
    "collections.deque": _made_list,
    "dataclasses.field": _field,
    "torch.utils.checkpoint.checkpoint": _checkpoint,
    "builtins.max": _pick,
    "builtins.min": _pick,
    "builtins.next": _next,
    "builtins.dict": _made_dict,
    "collections.OrderedDict": _made_dict,
    "types.SimpleNamespace": _namespace,
    "argparse.Namespace": _namespace,
    "builtins.enumerate": _tuples(counted=True),
    "builtins.zip": _tuples(counted=False),
    "builtins.map": _map,
    "builtins.filter": _filter,
    "functools.reduce": _reduce,
    **{path: partial(_contain, path) for path in sorted(CONTAINER_BASES)},
    **dict.fromkeys(LOADERS, _dataloader),
    "collections.defaultdict": _defaultdict,
    "torch.save": _save,
    "torch.load": _load,
    **dict.fromkeys((f"*.{level}" for level in _LEVELS), _log),
    **{f"builtins.{name}": _method(f"__{name}__") for name in _RUN_DUNDER},
    "builtins.print": _method("__str__"),
    "builtins.setattr": _nothing,
    "dataclasses.replace": _replace,
    "copy.copy": _replace,
    "copy.deepcopy": _replace,
    "builtins.property": _property,
    "builtins.staticmethod": _same,
    "builtins.classmethod": _same,
    "threading.Thread": _thread,
    "multiprocessing.Process": _thread,
}
_COMPLETE = frozenset(_IDIOMS) - LOADERS - {"threading.Thread", "multiprocessing.Process", "torch.save", "torch.load"}
