"""The command `distance`: how far apart two programs are, what makes them so, how much more complex one is; or how novel a trial was."""

from __future__ import annotations

import ast
import json
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click
from radon.complexity import cc_visit_ast
from radon.visitors import Function

from graph.archive import Archive
from graph.complexity import Complexity, complexity
from graph.features import breakdown, canonical_digest, features, norm
from harness.cli.errors import WrongUse, one_line_errors
from harness.sources import open_program, read_earlier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graph.snapshot import Snapshot

    _Files = Mapping[str, bytes]

_SHOWN = 6  # steps of a category in the text; --json has all
_DIGESTS = frozenset({"shape"})  # categories whose steps say nothing to people


@dataclass(frozen=True, slots=True)
class _Size:
    """How complex a program is: our figures, and radon's cyclomatic one."""

    complexity: Complexity
    radon: int


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Two programs. `why` has category -> what was counted -> signed step from A to B."""

    distance: float
    same: bool
    a: _Size
    b: _Size
    why: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Novelty:
    """A trial among what its campaign knew. `why` has category -> mean distance to the nearest programs."""

    rank: float
    isolation: float
    known: int
    why: Mapping[str, float]


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="[B]", required=False)
@click.option("--why", is_flag=True, help="Say what the distance is made of.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs, with all of the why.")
@one_line_errors
def distance(a: str, b: str | None, why: bool, as_json: bool) -> None:
    """Say how far B is from A in structure, and how much more complex it is.

    A and B are a target, a folder, a Python file or a trial: campaigns/demo@12, @0 for the unedited program, @best. What is frozen
    in one of them is left out. A trial alone is compared with all that its campaign had measured before: how novel was it?

    Names, comments and layout are at distance 0; a literal is about 0.3, an operator 1, a callee 3, a loop or a library 5. radon's
    figure is the sum over functions and methods; it has none for code outside of them.
    """
    found = _novelty(a) if b is None else _compare(a, b)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    lines = _novelty_lines(found, why=why) if isinstance(found, _Novelty) else _comparison_lines(found, why=why)
    click.echo("\n".join(lines))


def _compare(a: str, b: str) -> _Comparison:
    snapshots = [open_program(name).snapshot for name in (a, b)]
    frozen = snapshots[0].frozen | snapshots[1].frozen
    first, second = (_without(snapshot, frozen) for snapshot in snapshots)
    steps = breakdown(features(first), features(second))
    return _Comparison(
        distance=sum(map(norm, steps.values())),
        same=canonical_digest(first) == canonical_digest(second),
        a=_Size(complexity(first), _radon(first)),
        b=_Size(complexity(second), _radon(second)),
        why=steps,
    )


def _comparison_lines(found: _Comparison, *, why: bool) -> Iterator[str]:
    yield f"distance    {found.distance:.2f}"
    yield f"program     {'the same up to names of locals, docstrings and layout' if found.same else 'another'}"
    a, b = asdict(found.a.complexity), asdict(found.b.complexity)
    yield "complexity  " + ", ".join(f"{name} {_change(a[name], b[name])}" for name in a)
    yield f"radon       cyclomatic {_change(found.a.radon, found.b.radon)}"
    for category, steps in found.why.items() if why else ():
        yield f"{category:<10}  {norm(steps):.2f}"
        shown = [*steps.items()][: 0 if category in _DIGESTS else _SHOWN]
        yield from (f"  {step:+.2f}     {counted}" for counted, step in shown)
        if len(steps) > len(shown):
            yield f"            {'and ' if shown else ''}{len(steps) - len(shown):,}{' more' if shown else ' kinds of expression'}"


def _novelty(trial: str) -> _Novelty:
    earlier, snapshot = read_earlier(trial), open_program(trial).snapshot
    if not earlier:
        raise WrongUse(f"{trial}: nothing ran before the unedited program; name a trial from 1 on, or a second program")
    archive = Archive()
    for known in earlier:
        archive.add(known.mutable)
    files = snapshot.mutable
    reasons = archive.reasons(files)
    return _Novelty(archive.novelty(files), sum(reasons.values()), len(earlier), reasons)


def _novelty_lines(found: _Novelty, *, why: bool) -> Iterator[str]:
    yield f"novelty     {found.rank:.2f}, its rank among the programs before it: {found.known}"
    yield f"isolation   {found.isolation:.2f} on average from the nearest of them"
    yield from (f"{category:<10}  {value:.2f}" for category, value in (found.why.items() if why else ()))


def _without(snapshot: Snapshot, frozen: frozenset[str]) -> _Files:
    return {path: data for path, data in snapshot.files.items() if path not in frozen}


def _change(a: int, b: int) -> str:
    return f"{a:,}" if a == b else f"{a:,} -> {b:,} ({b - a:+,})"


def _radon(files: _Files) -> int:
    """Sum radon's cyclomatic complexity of functions and methods."""
    total = 0
    for path, data in files.items():
        if path.endswith(".py"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an invalid escape in a target is the target's affair
                blocks = cc_visit_ast(ast.parse(data))
            total += sum(block.complexity for block in blocks if isinstance(block, Function))
    return total
