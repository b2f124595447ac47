"""Promises: what an edit needs to stay true when later edits change the same unit.

A clipping of gradients is worth nothing behind the step, so the edit that inserts it leaves a promise on the snapshot:
`train:main: backward < clip_grad_norm_ < step`. It prints as that line, and two properties can be said: `a < b < c`, calls of these names
first appear in this order, and `once a`, there is exactly one call of that name.
Source: the validation rules that PyGlove's patchers leave behind.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.units import FUNCTIONS
from mutator.chunks import read_code
from mutator.kind import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from graph.code_graph import CodeGraph


def check_promises(graph: CodeGraph, changed: Mapping[str, bytes], promises: Iterable[str]) -> None:
    """Check the promises on units of changed files.

    Raises: Refused: one is broken, or its unit is gone.
    """
    for promise in promises:
        unit, _, wanted = promise.rpartition(": ")
        module = unit.partition(":")[0]
        path = next((path for path, file in graph.files.items() if file.module == module), "")
        if path in changed and not _holds(read_code(changed[path]).tree, unit.partition(":")[2], wanted):
            raise Refused(
                Reason.PROMISE,
                f"{unit}: an edit needs `{wanted}` there, and it would not hold; take that edit back first",
            )


def _holds(tree: ast.Module, name: str, wanted: str) -> bool:
    unit = _unit(tree.body, name.split(".")) if name else tree.body
    if wanted.startswith("once "):
        return _calls(unit).count(wanted.removeprefix("once ")) == 1
    calls, names = _calls(unit), wanted.split(" < ")
    places = [calls.index(each) if each in calls else -1 for each in names]
    return -1 not in places and places == sorted(places)


def _unit(body: list[ast.stmt], path: list[str]) -> list[ast.stmt]:
    """Return the statements of the function or class of that path, wherever the blocks around it are; none when it is gone."""
    for name in path:
        found = (n for statement in body for n in ast.walk(statement) if isinstance(n, (*FUNCTIONS, ast.ClassDef)))
        body = next((n.body for n in found if n.name == name), [])
    return body


def _calls(body: list[ast.stmt]) -> list[str]:
    """Return the last names of the calls, in source order of their ends: an argument is called before what it is given to."""
    calls = [n for statement in body for n in ast.walk(statement) if isinstance(n, ast.Call)]
    calls.sort(key=lambda n: (n.end_lineno or 0, n.end_col_offset or 0))
    return [ast.unparse(call.func).rpartition(".")[2] for call in calls]
