"""What a training prints of how good it is: the lines that may hold its metric, each with the pattern that finds the number.

A line is known by its words and by the place that prints it: a number behind "val loss" is a metric of held-out data, one behind "train
loss" is none. Formatting is read as Python does it: f-strings, `format`, `%`, several arguments of `print`.
"""

from __future__ import annotations

import ast
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from targets.manifest import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.init.repository import Repository

_PRINTS = frozenset({"print", "write", "info"})  # print(...), tqdm.write(...), logger.info(...)
_NUMBER = r"((?:[-+.\deE]|nan|inf)+)"
_MEASURES = {
    "loss": 3, "bpb": 3, "nll": 3, "mse": 3, "rmse": 3, "mae": 3, "perplexity": 2, "ppl": 2, "error": 2, "err": 2,
    "accuracy": 2, "acc": 2, "score": 2, "f1": 2, "auc": 2, "bleu": 2, "reward": 2, "return": 2, "correct": 1,
}  # fmt: skip
_BIGGER = frozenset({"accuracy", "acc", "score", "f1", "auc", "bleu", "reward", "return", "correct"})
_HELD_OUT = {"val": 4, "valid": 4, "validation": 4, "dev": 4, "eval": 4, "evaluate": 4, "heldout": 4, "test": 3}
_TRAINING = frozenset({"train", "training", "batch", "running"})
_WORDS = re.compile(r"[A-Za-z]+")
_PERCENT = re.compile(r"%(?:\((\w+)\))?[-+ #0]*(?:\d+|\*)?(\.\d+)?([a-zA-Z%])")
_ASIDE = 4  # of a rank: what held-out data are worth against which measure it is


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a training prints."""

    name: str  # as in "val_loss"
    pattern: str
    direction: Direction
    is_held_out: bool
    rank: int
    path: str
    line: int
    decimals: int | None  # as it is printed; None: all
    call: ast.Call  # that prints it


@dataclass(frozen=True, slots=True)
class _Hole:
    """A value in a printed text."""

    value: ast.expr | None
    spec: str = ""


_Piece = str | _Hole


def metrics_in(repository: Repository, paths: Sequence[str]) -> list[Metric]:
    """List what these files print that may be a metric, the likeliest first."""
    found: list[Metric] = []
    for path in paths:
        for call in (node for node in ast.walk(repository.trees[path]) if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            for line in _lines(_pieces_of(call)) if name in _PRINTS else ():
                found += _metrics(repository, path, call, line)
    return sorted(found, key=lambda metric: -metric.rank)


def _metrics(repository: Repository, path: str, call: ast.Call, line: list[_Piece]) -> Iterator[Metric]:
    line = [_told(repository, path, piece) for piece in line]
    function = repository.function_of(call)
    around = _words(function.name) if function is not None else []
    for at, piece in enumerate(line):
        if isinstance(piece, str):
            continue
        before = line[at - 1] if at and isinstance(line[at - 1], str) else ""
        after = line[at + 1] if at + 1 < len(line) and isinstance(line[at + 1], str) else ""
        label, held = _words(str(before)), _words(ast.unparse(piece.value)) if piece.value is not None else []
        measure = next((word for word in reversed([*held, *label]) if word in _MEASURES), "")
        if not measure and not label:  # as in "= 98.5 % correct"
            measure = next((word for word in _words(str(after)) if word in _MEASURES), "")
        if not measure:
            continue
        whole = [word for other in line if isinstance(other, str) for word in _words(other)]
        is_training = bool(_TRAINING & {*held, *label}) and not {*held, *label} & _HELD_OUT.keys()
        told = ([*label, *held], *(() if is_training else (whole, around)))  # the nearest word that says it counts
        split = next((word for words in told for word in words if word in _HELD_OUT), "")
        yield Metric(
            name="_".join(filter(None, ["train" if is_training else split, measure])),
            pattern=_pattern(line[:at], anchored=isinstance(call.func, ast.Name)),
            direction=Direction.MAXIMIZE if measure in _BIGGER else Direction.MINIMIZE,
            is_held_out=bool(split) and not is_training,
            rank=_ASIDE * (0 if is_training else 1 + _HELD_OUT.get(split, 0)) + _MEASURES[measure] - (not before),
            path=path,
            line=call.lineno,
            decimals=int(m[1]) if (m := re.search(r"\.(\d+)", piece.spec)) else None,
            call=call,
        )


def _told(repository: Repository, path: str, piece: _Piece) -> _Piece:
    """Say what a hole prints that is filled with a parameter to which only strings are given, one of which names held-out data."""
    if isinstance(piece, str) or not isinstance(piece.value, ast.Name):
        return piece
    function = repository.function_of(piece.value)
    names = [argument.arg for argument in function.args.args] if function is not None else []
    if function is None or piece.value.id not in names:
        return piece
    given = [
        argument.value
        for call in ast.walk(repository.trees[path])
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == function.name
        for name, argument in [*zip(names, call.args, strict=False), *((k.arg, k.value) for k in call.keywords)]
        if name == piece.value.id and isinstance(argument, ast.Constant)
    ]
    held_out = [text for text in given if isinstance(text, str) and text.lower() in _HELD_OUT]
    return held_out[-1] if held_out else piece


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text.replace("_", " "))]


def _pattern(before: Sequence[_Piece], *, anchored: bool) -> str:
    """Write the regular expression for what stands before a number on its line; its one group is the number."""
    parts = [
        ".*?" if isinstance(piece, _Hole) else re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(piece)) for piece in before
    ]
    text = "".join(parts)
    text = re.sub(r"\\s\+$", "", text.removeprefix(r"\s+")) + r"\s*"  # a width in the format adds spaces
    return ("^" + r"\s*" * text.startswith(".*") if anchored else "") + text.replace(r"\-", "-") + _NUMBER


# --- what a call prints


def _pieces_of(call: ast.Call) -> list[_Piece]:
    found: list[_Piece] = []
    for argument in call.args:
        found += [" "] if found else []
        found += _pieces(argument)
    return found


def _pieces(value: ast.expr) -> list[_Piece]:
    match value:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.JoinedStr(values=values):
            return [piece for part in values for piece in _pieces(part)]
        case ast.FormattedValue(value=inner, format_spec=spec):
            return [_Hole(inner, ast.unparse(spec) if spec is not None else "")]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [*_pieces(left), *_pieces(right)]
        case ast.BinOp(left=ast.Constant(value=str() as text), op=ast.Mod(), right=right):
            return _from_percent(text, right.elts if isinstance(right, ast.Tuple) else [right])
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format"), args=args):
            return _from_format(text, args, {keyword.arg: keyword.value for keyword in value.keywords})
    return [_Hole(value)]


def _from_percent(text: str, given: Sequence[ast.expr]) -> list[_Piece]:
    found: list[_Piece] = []
    at, values = 0, iter(given)
    for hole in _PERCENT.finditer(text):
        found.append(text[at : hole.start()])
        found.append("%" if hole[3] == "%" else _Hole(next(values, None), hole[2] or ""))
        at = hole.end()
    return _joined([*found, text[at:]])


def _from_format(text: str, given: Sequence[ast.expr], named: dict[str | None, ast.expr]) -> list[_Piece]:
    found: list[_Piece] = []
    count = 0
    try:
        for literal, name, spec, _ in string.Formatter().parse(text):
            found.append(literal)
            if name is not None:
                key = name or str(count)
                count += not name
                value = given[int(key)] if key.isdecimal() and int(key) < len(given) else named.get(key)
                found.append(_Hole(value, spec or ""))
    except ValueError:  # a format that Python would refuse as well
        return [_Hole(None)]
    return _joined(found)


def _joined(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Put texts that follow each other together."""
    found: list[_Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece != "":
            found.append(piece)
    return found


def _lines(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """Split what is printed at its line ends."""
    line: list[_Piece] = []
    for piece in _joined(pieces):
        if isinstance(piece, str):
            first, *others = piece.split("\n")
            line += [first] if first else []
            for text in others:
                yield line
                line = [text] if text else []
        else:
            line.append(piece)
    yield line
