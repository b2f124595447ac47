"""The conformance kit: what every edit kind must hold, turned into cases that a test suite runs.

A kind of your own is tested exactly as those that ship:

    @pytest.mark.parametrize("case", cases(Grammar((MyKind(),))), ids=str)
    def test_kind_conforms(case): case.check()

Each kind holds its examples and refusals, and the properties below on the sources of its examples; `check_properties` asks them of any
repository.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from graph.snapshot import Snapshot
from mutator.code import Code
from mutator.edit import Edit, EditError, parse_edit
from mutator.grammar import Grammar
from mutator.kind import EditKind, Example, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mutator.patch import Patch, Replacement


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that one kind must hold: an example, a refusal, or with neither its own shape."""

    kind: EditKind
    holds: Example | Refusal | None = None

    def __str__(self) -> str:
        """Name the case for a test report."""
        return self.kind.name if self.holds is None else self.holds.edit

    def check(self) -> None:
        """Raise AssertionError, with what is and what should be, when the case does not hold."""
        grammar = Grammar((self.kind,))
        if isinstance(self.holds, Example):
            _check_example(grammar, self.holds)
        elif isinstance(self.holds, Refusal):
            _check_refusal(grammar, self.holds)
        else:
            _check_shape(self.kind)


def cases(grammar: Grammar) -> tuple[Case, ...]:
    """Return all cases of all kinds."""
    found: list[Case] = []
    for kind in grammar.kinds:
        found += (Case(kind), *(Case(kind, e) for e in kind.examples), *(Case(kind, r) for r in kind.refusals))
    return tuple(found)


def check_properties(code: Code, *kinds: str, at_most: int = 1_000_000) -> int:
    """Check every property of the edits that the code's grammar offers, evenly thinned out to some; return how many were checked.

    Raises: AssertionError: a property does not hold; it names the edit.
    """
    offered = list(code.edits(*kinds))
    edits = offered[:: max(1, -(-len(offered) // at_most))]
    for edit in edits:
        _check_edit(code, edit)
    for first, second in pairwise(edits):
        _check_pair(code, first, second)
    return len(edits)


# --- one edit ---------------------------------------------------------------------------------------------------------------------


def _check_edit(code: Code, edit: Edit) -> None:
    """Round trip, inverse, idempotent planning, untouched bytes, names, protection."""
    _require(parse_edit(edit.uri) == edit, f"{edit.uri}: does not parse back to itself")
    try:
        patch = code.plan(edit)
    except EditError as error:
        raise AssertionError(f"{edit.uri}: is offered and then refused ({error})") from error
    _require(patch == code.plan(edit), f"{edit.uri}: planned twice, it gives two patches")
    files = code.snapshot.files
    changed = patch.apply(files)
    _require(bool(changed), f"{edit.uri}: changes nothing")
    restored = patch.invert().apply(changed)
    _require(
        all(restored[path] == files[path] for path in changed), f"{edit.uri}: its inverse does not restore the files"
    )
    _check_spans(files, changed, patch, edit)
    _check_result(code, edit)


def _check_spans(files: Mapping[str, bytes], changed: Mapping[str, bytes], patch: Patch, edit: Edit) -> None:
    """What lies outside of the replacements is the same bytes before and after."""
    for (path, before), (_, after) in zip(patch.files, patch.invert().files, strict=True):
        same = _outside(files[path], before) == _outside(changed[path], after)
        _require(same, f"{edit.uri}: bytes of {path} outside of its replacements changed")


def _outside(data: bytes, replacements: Sequence[Replacement]) -> list[bytes]:
    starts = [0, *(r.end for r in replacements)]
    ends = [*(r.start for r in replacements), len(data)]
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]


def _check_result(code: Code, edit: Edit) -> None:
    after = code.apply(edit)
    for path, file in after.graph.files.items():
        before = code.graph.files[path]
        _require(file is before or path not in code.snapshot.frozen, f"{edit.uri}: touches frozen {path}")
        _require(not file.error or bool(before.error), f"{edit.uri}: {path} does not parse after it")
        _require(file.unbound <= before.unbound, f"{edit.uri}: leaves {sorted(file.unbound - before.unbound)} unbound")
        if file is not before:
            compile(file.data, path, "exec", dont_inherit=True)
    for slot in code.protected:
        node, known = code.graph.nodes[slot], after.graph.nodes.get(slot)
        _require(
            known is None or code.graph.text(node) in after.snapshot.files[node.path].decode(),
            f"{edit.uri}: changes protected {slot}",
        )
    _require(after.undo().snapshot is code.snapshot, f"{edit.uri}: undone, it leaves another snapshot")


# --- two edits --------------------------------------------------------------------------------------------------------------------


def _check_pair(code: Code, first: Edit, second: Edit) -> None:
    """Two edits give the same together and in either order, wherever all three are possible."""
    together = _files(code, first, second, together=True)
    _require(
        together == _files(code, second, first, together=True),
        f"{first.uri} and {second.uri}: the order of planning matters",
    )
    one, other = _files(code, first, second), _files(code, second, first)
    if together is not None and one is not None and other is not None:
        _require(one == other, f"{first.uri} and {second.uri}: do not commute, though they do not touch")
        _require(together == one, f"{first.uri} and {second.uri}: together they give something else than in sequence")


def _files(code: Code, *edits: Edit, together: bool = False) -> Mapping[str, bytes] | None:
    try:
        return (code.apply_together(*edits) if together else code.apply(*edits)).snapshot.files
    except EditError:
        return None


# --- examples, refusals, shape ----------------------------------------------------------------------------------------------------


def _check_example(grammar: Grammar, example: Example) -> None:
    code, edit = _code(grammar, example.before), parse_edit(example.edit)
    after = code.apply(edit).snapshot.files
    for path, before in example.before.items():
        wanted, found = example.after.get(path, before), after[path].decode()
        _require(found == wanted, f"{edit.uri}: {path} is\n{found}\nand should be\n{wanted}")
    sites = {(site.slot, str(domain)) for _, site, domain in grammar.sites(code.graph)}
    read = [domain.read(edit.choice) for _, site, domain in grammar.sites(code.graph) if site.slot == edit.site]
    _require(
        any(choice is not None for choice in read), f"{edit.uri}: is in the examples but is not offered; {sites} are"
    )
    check_properties(code, at_most=24)


def _check_refusal(grammar: Grammar, refusal: Refusal) -> None:
    edit = parse_edit(refusal.edit)
    try:
        _code(grammar, refusal.before).apply(edit)
    except Refused as refused:
        _require(
            refused.reason is refusal.reason,
            f"{edit.uri}: is refused as {refused.reason}, not as {refusal.reason}: {refused}",
        )
    else:
        raise AssertionError(f"{edit.uri}: should be refused as {refusal.reason} and is not")


def _check_shape(kind: EditKind) -> None:
    name = kind.name
    _require(bool(re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", name)), f"{name}: is no kebab-case verb")
    _require(bool(kind.examples and kind.refusals), f"{name}: needs at least one example and one refusal")
    lines = (inspect.getdoc(kind) or "").splitlines()
    _require(len(lines) > 1, f"{name}: needs a docstring that says what, why and the source")
    _require(not tuple(_code(Grammar((kind,)), {"a.py": ""}).edits()), f"{name}: offers a site in an empty file")


def _code(grammar: Grammar, sources: Mapping[str, str]) -> Code:
    return Code.of(Snapshot({path: text.encode() for path, text in sources.items()})).using(grammar)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
