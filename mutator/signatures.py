"""What callables take: those of torch as recorded in a table, of some of the standard library as it is here, of functions as written.

The table, signatures.json, says for an import path how it may be called: of a class the constructor, of a method of `torch.Tensor`
with the tensor first. `python -m bench.record_signatures` writes it from the installed torch, which codegraft does not import to
read code. A built-in function of torch with several overloads stands there once, taking whatever one of them takes: what does not
bind to that binds to none of them. Types are not looked at, and what the table does not know may be called in any way.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import inspect
import itertools
import json
import math
from functools import lru_cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TABLE = Path(__file__).with_name("signatures.json")
_STANDARD = {m.__name__: m for m in (builtins, dataclasses, functools, itertools, math)}


@lru_cache(maxsize=4096)
def signature_of(path: str) -> Signature | None:
    """Return how a library's class or function may be called, by import path: `torch.nn.Linear`; None when nobody knows."""
    recorded = _table().get(path)
    if recorded is not None:
        return _read(recorded)
    module, _, name = path.partition(".")
    try:
        return inspect.signature(getattr(_STANDARD[module], name))
    except (KeyError, AttributeError, TypeError, ValueError):  # unknown, no such name, not callable, or it does not say
        return None


def binding_error(
    signature: Signature, n_positional: int, keywords: Sequence[str], *, starred: bool = False
) -> str | None:
    """Say why a call with these arguments does not bind; None when it does.

    Where `*` or `**` give more (`starred`), what may be missing is not known: only too many, doubled and unknown ones are said.
    """
    doubled = next((word for i, word in enumerate(keywords) if word in keywords[:i]), None)
    if doubled is not None:
        return f"multiple values for argument {doubled!r}"
    bind = signature.bind
    if starred:
        # Names that a call may give twice, to a place and to `**kwargs`, are no error as long as the star may fill the place.
        bind, keywords = signature.bind_partial, [word for word in keywords if not _taken_twice(signature, word)]
    try:
        bind(*[None] * n_positional, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return None


def signature_from(node: ast.FunctionDef | ast.AsyncFunctionDef, *, bound: bool) -> Signature:
    """Return the signature of a function as written; `bound` leaves out the first parameter, as a call of a method does.

    A default that is no literal is `...`.
    """
    given = node.args
    positional = [
        *_parameters(given.posonlyargs, Parameter.POSITIONAL_ONLY),
        *_parameters(given.args, Parameter.POSITIONAL_OR_KEYWORD),
    ]
    first = len(positional) - len(given.defaults)
    positional[first:] = [_defaulted(p, d) for p, d in zip(positional[first:], given.defaults, strict=True)]
    keyword_only = [
        p if default is None else _defaulted(p, default)
        for p, default in zip(_parameters(given.kwonlyargs, Parameter.KEYWORD_ONLY), given.kw_defaults, strict=True)
    ]
    rest = _parameters([given.vararg] if given.vararg else [], Parameter.VAR_POSITIONAL)
    others = _parameters([given.kwarg] if given.kwarg else [], Parameter.VAR_KEYWORD)
    return Signature([*positional[bound:], *rest, *keyword_only, *others])


def _taken_twice(signature: Signature, word: str) -> bool:
    known = signature.parameters.get(word)
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in signature.parameters.values())
    return takes_any and known is not None and known.kind is Parameter.POSITIONAL_ONLY


@lru_cache(maxsize=1)
def _table() -> Mapping[str, str]:
    table: dict[str, str] = json.loads(_TABLE.read_text())
    return table


def _read(recorded: str) -> Signature:
    """Read `(x, *, y=1)`."""
    (node,) = ast.parse(f"def f{recorded}: ...").body
    if not isinstance(node, ast.FunctionDef):  # what was recorded is the head of a function
        raise TypeError(f"{recorded}: is no signature")
    return signature_from(node, bound=False)


def _parameters(arguments: Iterable[ast.arg], kind: Any) -> list[Parameter]:  # noqa: ANN401  # the kinds' type is private
    return [Parameter(argument.arg, kind) for argument in arguments]


def _defaulted(parameter: Parameter, default: ast.expr) -> Parameter:
    try:
        return parameter.replace(default=ast.literal_eval(default))
    except ValueError:
        return parameter.replace(default=...)
