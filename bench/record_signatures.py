"""Record how the installed torch may be called: `python -m bench.record_signatures` writes mutator/signatures.json.

What is written in Python says so itself. What is not is asked where torch generates it from: the stubs of `torch.*` and of
`torch.Tensor`, and the schemas of the operators behind `torch.nn.functional`, `torch.linalg`, `torch.fft` and `torch.special`.
The overloads of one function are merged into a signature that takes what any of them takes.

Left out: what takes `*args, **kwargs` and so says nothing, what neither source knows (`torch.device`, `torch.Generator`), and
the names that numpy has for `input` and `other`.
"""

from __future__ import annotations

import ast
import inspect
import json
import typing
import warnings
from collections import defaultdict
from importlib import import_module
from inspect import Parameter, Signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from mutator.signatures import signature_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

OUT = Path(__file__).parent.parent / "mutator" / "signatures.json"
MODULES = (
    "torch", "torch.amp", "torch.autograd", "torch.backends.cuda", "torch.compiler", "torch.cuda", "torch.cuda.amp",
    "torch.distributed", "torch.distributions", "torch.fft", "torch.func", "torch.linalg", "torch.mps", "torch.nn",
    "torch.nn.attention", "torch.nn.attention.flex_attention", "torch.nn.functional", "torch.nn.init", "torch.nn.parallel",
    "torch.nn.parameter", "torch.nn.utils", "torch.nn.utils.parametrizations", "torch.nn.utils.parametrize", "torch.nn.utils.rnn",
    "torch.nn.utils.stateless", "torch.optim", "torch.optim.lr_scheduler", "torch.optim.swa_utils", "torch.profiler",
    "torch.random", "torch.special", "torch.utils.checkpoint", "torch.utils.data", "torch.utils.data.distributed",
)  # fmt: skip

_OPERATORS = frozenset(
    {"torch._C._nn", "torch._C._linalg", "torch._C._fft", "torch._C._special"}
)  # named as their operators
# torch's argument parser takes numpy's names of these as well (torch/csrc/utils/python_arg_parser.cpp).
_ALIASES = {"dim": "axis", "keepdim": "keepdims"}

_UNSURE = frozenset({"set_", "new"})  # their stubs are written by hand and leave overloads out

_Stubs = dict[str, list[Signature]]


def record() -> dict[str, str]:
    """Return import path -> signature of everything that can be told."""
    functions, methods = _read_stubs()
    table = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is deprecated, and taken all the same
        for module in MODULES:
            for name, value in _public(import_module(module)):
                found = _signature(value, functions)
                if found is not None:
                    table[f"{module}.{name}"] = _written(found)
        for name, value in _public(torch.Tensor):
            found = _signature(value, methods)
            if found is not None:
                table[f"torch.Tensor.{name}"] = _written(found)
    return dict(sorted(table.items()))


def union(overloads: Sequence[Signature]) -> Signature:
    """Merge overloads into a signature to which every call of one of them binds; it may take more.

    Places keep their names as far as all overloads agree; behind that, any number of arguments may follow, and the names that are
    left are keywords.
    """
    if len(overloads) == 1:
        return overloads[0]
    needed = frozenset.intersection(*(_needed(each) for each in overloads))
    places = _common_places(overloads)
    parameters = [_loose(each, needed=each.name in needed) for each in places]
    n_taken = max(len(_positional(each)) for each in overloads)
    kinds = {p.kind for each in overloads for p in each.parameters.values()}
    if n_taken > len(places) or Parameter.VAR_POSITIONAL in kinds:
        parameters.append(Parameter("args", Parameter.VAR_POSITIONAL))
    taken = {each.name for each in places}
    for each in overloads:
        for name, parameter in each.parameters.items():
            if name not in taken and parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
                taken.add(name)
                behind = parameter.kind is Parameter.KEYWORD_ONLY and name in needed
                parameters.append(_loose(parameter, needed=behind).replace(kind=Parameter.KEYWORD_ONLY))
    if Parameter.VAR_KEYWORD in kinds:
        parameters.append(Parameter("kwargs", Parameter.VAR_KEYWORD))
    return Signature(parameters)


def _common_places(overloads: Sequence[Signature]) -> list[Parameter]:
    """Return the first positional parameters, as far as the overloads that have so many give them one name."""
    places: list[Parameter] = []
    for i in range(max(len(_positional(each)) for each in overloads)):
        here = [_positional(each)[i] for each in overloads if len(_positional(each)) > i]
        ends = any(len(_positional(each)) <= i and _takes_any(each) for each in overloads)
        if len({each.name for each in here}) > 1 or ends:
            break
        places.append(here[0])
    return places


def _takes_any(signature: Signature) -> bool:
    return any(each.kind is Parameter.VAR_POSITIONAL for each in signature.parameters.values())


def _positional(signature: Signature) -> list[Parameter]:
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return [each for each in signature.parameters.values() if each.kind in kinds]


def _needed(signature: Signature) -> frozenset[str]:
    starred = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return frozenset(
        n for n, p in signature.parameters.items() if p.default is Parameter.empty and p.kind not in starred
    )


def _loose(parameter: Parameter, *, needed: bool = False) -> Parameter:
    """Give a parameter a default unless it is needed."""
    return parameter if needed or parameter.default is not Parameter.empty else parameter.replace(default=...)


def _signature(value: object, stubs: Mapping[str, Sequence[Signature]]) -> Signature | None:
    overloads = _overloads(value, stubs)
    return union(overloads) if overloads else None


def _overloads(value: object, stubs: Mapping[str, Sequence[Signature]]) -> list[Signature]:
    """Return every way to call a value; empty when it does not say."""
    if not callable(value):
        return []
    try:
        plain = inspect.signature(value)
    except (ValueError, TypeError):
        return [_numpy(each) for each in _built_in(value, stubs)]
    return [plain] if _says_something(plain) else [each for each in _dispatched(value) if _says_something(each)]


def _says_something(signature: Signature) -> bool:
    return {each.kind for each in signature.parameters.values()} != {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}


def _dispatched(value: Callable[..., object]) -> list[Signature]:
    """Return the overloads of a function or constructor that passes everything on, where it states them."""
    if inspect.isclass(value):
        if value.__init__ is torch.nn.Module.__init__:  # it takes anything in order to say what was too much
            return [Signature()]
        stated = typing.get_overloads(value.__init__)
        return [_without_first(inspect.signature(each)) for each in stated]
    branches = inspect.getclosurevars(value).nonlocals if inspect.isfunction(value) else {}
    return [inspect.signature(branches[name]) for name in ("if_true", "if_false") if name in branches]


def _without_first(signature: Signature) -> Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _built_in(value: Callable[..., object], stubs: Mapping[str, Sequence[Signature]]) -> Sequence[Signature]:
    name = getattr(value, "__name__", "")
    if inspect.isclass(value):
        return []
    owner = getattr(getattr(value, "__self__", None), "__name__", "")
    return _operator(name) if owner in _OPERATORS else stubs.get(name, [])


def _operator(name: str) -> list[Signature]:
    """Return the schemas of an operator, in the words of its Python binding."""
    found = []
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):  # noqa: SLF001  # there is no public way to ask
        parameters = [
            Parameter(
                "input" if argument.name == "self" else argument.name,
                Parameter.KEYWORD_ONLY if argument.kwarg_only else Parameter.POSITIONAL_OR_KEYWORD,
                default=argument.default_value if argument.has_default_value() else Parameter.empty,
            )
            for argument in schema.arguments
        ]
        found.append(Signature(parameters))
    return found


def _numpy(signature: Signature) -> Signature:
    """Add the names that numpy has for parameters; from the first of these on, nothing is needed: the other name may be there."""
    parameters = list(signature.parameters.values())
    names = [name for name in _ALIASES if name in signature.parameters and _ALIASES[name] not in signature.parameters]
    if not names:
        return signature
    first = min(i for i, each in enumerate(parameters) if each.name in names)
    starred = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    loose = [each if i < first or each.kind in starred else _loose(each) for i, each in enumerate(parameters)]
    more = [Parameter(_ALIASES[name], Parameter.KEYWORD_ONLY, default=...) for name in names]
    return Signature(sorted([*loose, *more], key=lambda each: each.kind))


def _read_stubs() -> tuple[_Stubs, _Stubs]:
    """Read the stubs that torch generates for its functions and for the methods of its tensors."""
    folder = Path(torch.__file__).parent / "_C"
    functions = ast.parse((folder / "_VariableFunctions.pyi").read_text())
    whole = ast.parse((folder / "__init__.pyi").read_text())
    (tensor,) = (n for n in whole.body if isinstance(n, ast.ClassDef) and n.name == "TensorBase")
    deprecated = {"self": "input"}  # old overloads of functions call it what the operator does
    return _stubbed(functions.body, renamed=deprecated), _stubbed(tensor.body, renamed={})


def _stubbed(body: Iterable[ast.stmt], *, renamed: Mapping[str, str]) -> _Stubs:
    found: defaultdict[str, list[Signature]] = defaultdict(list)
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name not in _UNSURE:
            stated = signature_from(node, bound=False).parameters.values()
            found[node.name].append(
                Signature([each.replace(name=renamed.get(each.name, each.name)) for each in stated])
            )
    return found


def _public(owner: ModuleType | type) -> Iterator[tuple[str, object]]:
    """Walk the callables of a module of torch that are torch's, or of a class."""
    for name in dir(owner):
        value = getattr(owner, name)
        if name.startswith("_") or isinstance(value, ModuleType) or not callable(value):
            continue
        home = getattr(value, "__module__", None) or "torch"
        if home.partition(".")[0] == "torch":
            yield name, value


def _written(signature: Signature) -> str:
    """Write a signature without annotations; a default that is no literal is `...`."""
    parameters = [
        each.replace(annotation=Parameter.empty, default=_literal(each)) for each in signature.parameters.values()
    ]
    return str(Signature(parameters)).replace("Ellipsis", "...")


def _literal(parameter: Parameter) -> object:
    if parameter.default is Parameter.empty:
        return Parameter.empty
    try:
        ast.literal_eval(repr(parameter.default))
    except (ValueError, SyntaxError):
        return ...
    return parameter.default


def main() -> None:
    """Write the table, one line per import path."""
    OUT.write_text(json.dumps(record(), indent=0) + "\n")


if __name__ == "__main__":
    main()
