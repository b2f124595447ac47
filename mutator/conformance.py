"""The conformance kit: what every edit kind must hold, turned into cases that a test suite runs.

A kind of your own is tested exactly as those that ship:

    @pytest.mark.parametrize("case", cases(DEFAULT_GRAMMAR + Grammar((MyKind(),))), ids=str)
    def test_kind_conforms(case): case.check()
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.build import build_graph
from graph.snapshot import Snapshot
from mutator.edit import parse_edit
from mutator.grammar import Grammar
from mutator.kind import EditKind, Example, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.code_graph import CodeGraph


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that one kind must hold: an example, a refusal, or its own shape when there is neither."""

    kind: EditKind
    holds: Example | Refusal | None = None

    def __str__(self) -> str:
        """Name the case for a test report."""
        return self.kind.name if self.holds is None else self.holds.edit

    def check(self) -> None:
        """Raise AssertionError, with what is and what should be, when the case does not hold."""
        if isinstance(self.holds, Example):
            _check_example(Grammar((self.kind,)), self.holds)
        elif isinstance(self.holds, Refusal):
            _check_refusal(Grammar((self.kind,)), self.holds)
        else:
            _check_shape(self.kind)


def cases(grammar: Grammar) -> tuple[Case, ...]:
    """Return all cases of all kinds."""
    found: list[Case] = []
    for kind in grammar.kinds:
        found += (
            Case(kind),
            *(Case(kind, example) for example in kind.examples),
            *(Case(kind, refusal) for refusal in kind.refusals),
        )
    return tuple(found)


def check_all_edits(graph: CodeGraph, grammar: Grammar, *, protected: frozenset[str] = frozenset()) -> int:
    """Check that every edit that the grammar offers prints, parses, applies, verifies and inverts; return how many there are."""
    count = 0
    for edit in grammar.edits(graph, protected=protected):
        _require(parse_edit(edit.uri) == edit, f"{edit.uri}: does not parse back to itself")
        patch = grammar.plan(graph, edit, protected=protected)
        changed = patch.apply(graph.snapshot.files)
        _require(bool(changed), f"{edit.uri}: changes nothing")
        restored = patch.invert().apply(changed)
        _require(
            all(restored[path] == graph.snapshot.files[path] for path in changed),
            f"{edit.uri}: its inverse does not restore the files",
        )
        count += 1
    return count


def _check_example(grammar: Grammar, example: Example) -> None:
    graph = _graph(example.before)
    edit = parse_edit(example.edit)
    after = grammar.apply(graph, edit).files
    for path, before in example.before.items():
        wanted = example.after.get(path, before)
        _require(
            after[path].decode() == wanted, f"{edit.uri}: {path} is\n{after[path].decode()}\nand should be\n{wanted}"
        )
    offered = {(e.site, e.choice) for e in grammar.edits(graph)}
    _require((edit.site, edit.choice) in offered, f"{edit.uri}: is in the examples but is not offered")
    check_all_edits(graph, grammar)


def _check_refusal(grammar: Grammar, refusal: Refusal) -> None:
    edit = parse_edit(refusal.edit)
    try:
        grammar.apply(_graph(refusal.before), edit)
    except Refused as refused:
        _require(
            refused.reason is refusal.reason,
            f"{edit.uri}: is refused as {refused.reason}, not as {refusal.reason}: {refused}",
        )
    else:
        raise AssertionError(f"{edit.uri}: should be refused as {refusal.reason} and is not")


def _check_shape(kind: EditKind) -> None:
    _require(bool(re.fullmatch(r"[a-z]+(-[a-z]+)+", kind.name)), f"{kind.name}: is no kebab-case verb")
    _require(bool(kind.examples and kind.refusals), f"{kind.name}: needs at least one example and one refusal")
    _require(
        len((type(kind).__doc__ or "").splitlines()) > 1,
        f"{kind.name}: needs a docstring that says what, why and the source",
    )
    _require(not tuple(kind.sites(_graph({"a.py": ""}))), f"{kind.name}: offers a site in an empty file")


def _graph(sources: Mapping[str, str]) -> CodeGraph:
    return build_graph(Snapshot({path: text.encode() for path, text in sources.items()}))


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
