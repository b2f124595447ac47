"""Schedules: where code computes how far something has decayed, and how other curves between the same two ends are written.

A curve falls from 1 at the start of the decay to 0 at its end, whatever it then multiplies: so warm-up, floor and peak stay what they are.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

from mutator.expected import fill

# Curves by what remains: `t` goes from 0 to 1, `r` from 1 to 0. A root wants no rounding error below zero.
SHAPES = {
    "cosine": ("0.5 * (1.0 + {cos}({pi} * {t}))", "0.5 * (1.0 - {cos}({pi} * {r}))"),
    "linear": ("1.0 - {t}", "{r}"),
    "sqrt": ("1.0 - max(0.0, {t}) ** 0.5", "1.0 - max(0.0, 1.0 - {r}) ** 0.5"),
    "square": ("(1.0 - {t}) ** 2", "({r}) ** 2"),
    "late": ("min(1.0, 5.0 * (1.0 - {t}))", "min(1.0, 5.0 * {r})"),
    "rsqrt": ("(1.0 + 15.0 * {t}) ** -0.5", "(16.0 - 15.0 * {r}) ** -0.5"),
    "constant": ("1.0", "1.0"),
}


class Decay(NamedTuple):
    """An expression that falls from 1 to 0, in its statement: where it stands in the text, its curve, and what it depends on."""

    start: int
    end: int
    shape: str  # cosine or linear
    t: str = ""  # what goes from 0 to 1; else
    r: str = ""  # what goes from 1 to 0
    rising: bool = False  # whether the text is `t` itself, so that 1 - curve goes there
    peak: str = ""  # what the text multiplies the curve by


def find_decay(text: str, blends: dict[str, bool]) -> Decay | None:
    """Return the one decay of a statement: a half cosine, `1 - t`, or the fraction that a later blend weighs two values by.

    `blends` says of such names whether their value weighs the start (True) or the end of the schedule. Offsets are characters of the text.
    """
    try:
        statement = ast.parse(text).body[0]
    except (SyntaxError, IndexError):
        return None
    value = getattr(statement, "value", None)
    cosines = [node for node in ast.walk(statement) if isinstance(node, ast.expr) and _cosine(node) is not None]
    if cosines:
        found = _cosine(cosines[0]) if len(cosines) == 1 else None
        placed = _placed(text, cosines[0], "cosine", t=ast.unparse(found[1])) if found is not None else None
        return placed._replace(peak=found[0]) if placed is not None and found is not None else None
    if not isinstance(value, ast.expr):
        return None
    target = (
        statement.targets[0].id
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        else ""
    )
    if target in blends:
        source = _segment(text, value)
        return (
            _placed(text, value, "linear", r=source)
            if blends[target]
            else _placed(text, value, "linear", t=source, rising=True)
        )
    whole = _factor(value)
    if whole is not None:
        return _placed(text, whole, "linear", t=_segment(text, whole.right))
    return None


def blended(text: str) -> tuple[str, bool] | None:
    """Return the name that `n * a + (1 - n) * b` blends by, and True; False for `(1 - n) * a + n * b`, where n grows towards the end."""
    try:
        statement = ast.parse(text.strip()).body[0]
    except (SyntaxError, IndexError):
        return None
    value = getattr(statement, "value", None)
    if not isinstance(statement, ast.Return) or not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Add):
        return None
    first, second = _weights(value.left), _weights(value.right)
    for name in first & {n for n in second if n.isidentifier()}:
        return name, True
    names = {n for n in first if f"1 - {n}" in second or f"1.0 - {n}" in second}
    if names:
        return names.pop(), True
    names = {n for n in second if f"1 - {n}" in first or f"1.0 - {n}" in first}
    return (names.pop(), False) if names else None


def curve(decay: Decay, shape: str, cos: str, pi: str) -> str:
    """Return the text of another curve in the place of a decay."""
    by_t, by_r = SHAPES[shape]
    text = (
        fill(by_t.replace("{cos}", cos).replace("{pi}", pi), t=decay.t)
        if decay.t
        else fill(by_r.replace("{cos}", cos).replace("{pi}", pi), r=decay.r)
    )
    if decay.peak:
        return fill("{peak} * {text}", peak=decay.peak, text=text)
    return fill("1.0 - {text}", text=text) if decay.rising else text


def _weights(term: ast.expr) -> set[str]:
    """Return the factors of a product as text."""
    if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult):
        return _weights(term.left) | _weights(term.right)
    return {ast.unparse(term)}


def _cosine(node: ast.expr) -> tuple[str, ast.expr] | None:
    """Return x of `0.5 * (1 + cos(pi * x))`, in any order, or halved by a division, and what else the product holds."""
    match node:
        case ast.BinOp(ast.Constant(0.5), ast.Mult(), inner) | ast.BinOp(inner, ast.Mult(), ast.Constant(0.5)):
            angle, peak = _one_plus(inner), ""
        case ast.BinOp(ast.BinOp(other, ast.Mult(), ast.Constant(0.5)), ast.Mult(), inner):
            angle, peak = _one_plus(inner), ast.unparse(other)
        case ast.BinOp(inner, ast.Div(), ast.Constant(value)) if value == 2:
            angle, peak = _one_plus(inner), ""
        case _:
            return None
    return (peak, angle) if angle is not None else None


def _one_plus(node: ast.expr) -> ast.expr | None:
    match node:
        case ast.BinOp(ast.Constant(one), ast.Add(), ast.Call(function, [angle])) if one == 1:
            pass
        case ast.BinOp(ast.Call(function, [angle]), ast.Add(), ast.Constant(one)) if one == 1:
            pass
        case _:
            return None
    if not ast.unparse(function).endswith("cos"):
        return None
    match angle:
        case ast.BinOp(pi, ast.Mult(), x) if ast.unparse(pi).endswith("pi"):
            return x
        case ast.BinOp(x, ast.Mult(), pi) if ast.unparse(pi).endswith("pi"):
            return x
        case ast.BinOp(ast.BinOp(pi, ast.Mult(), x), ast.Div(), whole) if ast.unparse(pi).endswith("pi"):
            return ast.BinOp(x, ast.Div(), whole)
    return None


def _factor(value: ast.expr) -> ast.BinOp | None:
    """Return `1 - t` where it is all of an expression, or a factor of it."""
    match value:
        case ast.BinOp(ast.Constant(one), ast.Sub(), right) if one == 1 and not isinstance(right, ast.Constant):
            return value
        case ast.BinOp(left, ast.Mult(), right):
            return _factor(left) or _factor(right)
    return None


def _segment(text: str, node: ast.expr) -> str:
    return ast.get_source_segment(text, node) or ast.unparse(node)


def _placed(text: str, node: ast.expr, shape: str, *, t: str = "", r: str = "", rising: bool = False) -> Decay:
    lines = [0]
    for line in text.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    start = lines[node.lineno - 1] + node.col_offset
    end = lines[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)
    return Decay(start, end, shape, t, r, rising)
