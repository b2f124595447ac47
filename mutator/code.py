"""The library's front door: read a repository, list its edits, apply them, take them back, shrink a script, print the diff.

    code = Code.read("my_repo", frozen=["eval.py"])
    edit = next(code.edits("swap-optimizer"))
    better = code.apply(edit, "scale-literal@train:/literal.lr?by=0.5")
    print(better.diff())
    better.undo().write("elsewhere")

A `Code` never changes: every method that edits returns another one, which knows its parent. So undoing costs nothing, and two branches of
a search may share one past.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from graph.build import build_graph
from graph.snapshot import Snapshot, python_files, read_snapshot
from mutator.edit import Edit, EditError, parse_edit, print_script
from mutator.forbid import Forbidden
from mutator.grammar import Grammar
from mutator.merge import conflicts, merge
from mutator.patch import Patch, difference
from mutator.protect import protected_slots
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from graph.code_graph import CodeGraph


@dataclass(frozen=True)
class Code:
    """A repository at one point of a script of edits."""

    graph: CodeGraph
    declared: tuple[str, ...] = ()  # slots that are protected besides what the graph protects
    grammar: Grammar = field(default_factory=default_grammar)
    script: tuple[Edit, ...] = ()  # from the sources that were read, oldest first
    parent: Code | None = field(default=None, repr=False)
    forbidden: Forbidden = field(default_factory=Forbidden)

    @classmethod
    def read(cls, folder: Path | str, *, frozen: Iterable[str] = (), protected: Iterable[str] = ()) -> Self:
        """Read the Python files of a folder.

        Raises: GraphError: the folder or a frozen file is not there. EditError: a protected slot names nothing.
        """
        root = Path(folder)
        return cls.of(read_snapshot(root, python_files(root), frozen=frozen), protected=protected)

    @classmethod
    def of(cls, sources: Snapshot, *, protected: Iterable[str] = ()) -> Self:
        """Start from a snapshot that is there already.

        Raises: EditError: a protected slot names nothing.
        """
        code = cls(build_graph(sources), tuple(protected))
        _ = code.protected
        return code

    def using(self, grammar: Grammar) -> Self:
        """Return the same code under another grammar."""
        return replace(self, grammar=grammar)

    @property
    def snapshot(self) -> Snapshot:
        """The sources as they are now."""
        return self.graph.snapshot

    @cached_property
    def protected(self) -> frozenset[str]:
        """The slots that no edit may touch, but for the forbidden ones."""
        return protected_slots(self.graph, self.declared)

    def edits(self, *kinds: str) -> Iterator[Edit]:
        """Walk the legal edits, of all kinds or of the named ones, but for what is forbidden.

        Raises: EditError: there is no such kind.
        """
        grammar = self.grammar.only(*kinds) if kinds else self.grammar
        return self.forbidden.left_of(grammar).edits(self.graph, protected=self._closed)

    def plan(self, edit: Edit | str) -> Patch:
        """Return the verified patch of one edit.

        Raises: SiteGone, Refused, EditError: see Grammar.plan.
        """
        self.forbidden.refuse(self.graph, _edit(edit))
        return self.grammar.plan(self.graph, _edit(edit), protected=self._closed)

    def apply(self, *edits: Edit | str) -> Self:
        """Return the code after some edits, each planned on what the ones before it left.

        Raises: SiteGone, Refused, EditError: one of them does not apply; see Grammar.plan.
        """
        code = self
        for edit in map(_edit, edits):
            code = code._after(code.edited(edit), (edit,))
        return code

    def apply_together(self, *edits: Edit | str) -> Self:
        """Return the code after some edits that are all planned on the code as it is: one transaction, in any order.

        Raises: Refused: two of them touch the same bytes (both are named), or the union does not verify. Else as `apply`.
        """
        found = tuple(map(_edit, edits))
        return self._after(self.edited(*found), found)

    def edited(self, *edits: Edit) -> Snapshot:
        """Return the sources that `apply_together` leads to, without building their graph; see there for what it raises."""
        for edit in edits:
            self.forbidden.refuse(self.graph, edit)
        if len(edits) == 1:
            return self.grammar.apply(self.graph, edits[0], protected=self._closed)
        patch, promises = merge(self.grammar, self.graph, edits, protected=self._closed)
        changed = patch.apply(self.snapshot.files)
        return self.snapshot.with_files(changed, edit=print_script(edits), promises=promises)

    def conflicts(self, edits: Sequence[Edit | str]) -> frozenset[tuple[int, int]]:
        """Return which edits touch the same bytes, so that `apply_together` refuses them: pairs of their numbers, the lower first.

        Raises: SiteGone, Refused, EditError: one of them does not apply; see Grammar.plan.
        """
        return conflicts(self.grammar, self.graph, tuple(map(_edit, edits)), protected=self._closed)

    def undo(self) -> Self:
        """Return the code before its last edit.

        Raises: EditError: there is none.
        """
        if self.parent is None:
            raise EditError("undo: nothing was edited")
        return replace(self.parent, grammar=self.grammar)  # type: ignore[return-value]  # of the same class

    def without(self, *numbers: int) -> Self:
        """Return the code without some edits of its script, numbered from 0, the others as they were.

        Raises: EditError: there is no such edit, or later edits depend on one of them; they are named.
        """
        unknown = [number for number in numbers if not 0 <= number < len(self.script)]
        if unknown:
            raise EditError(f"{unknown[0]}: is no edit of the script, which has {len(self.script)}, numbered from 0")
        code, depending = self._root(), []
        for number, (edit, grammar) in enumerate(self._history()):
            if number not in numbers:
                try:
                    code = code.using(grammar).apply(edit)
                except EditError as error:
                    depending.append(f"{edit.uri} ({error})")
        if depending:
            raise EditError(f"{len(depending)} later edits depend on it: {'; '.join(depending)}; take them back too")
        return code.using(self.grammar)

    def diff(self) -> str:
        """Print what the script changed, in git's format."""
        files = self._root().snapshot.files
        return difference(files, self.snapshot.files).unified_diff(files)

    def write(self, folder: Path | str) -> None:
        """Write all files below a folder."""
        for path, data in self.snapshot.files.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    @property
    def _closed(self) -> frozenset[str]:
        return self.protected | self.forbidden.units

    def _root(self) -> Self:
        code = self
        while code.parent is not None:
            code = code.parent  # type: ignore[assignment]  # of the same class
        return replace(code, grammar=self.grammar)

    def _history(self) -> list[tuple[Edit, Grammar]]:
        """Return the edits of the script, each with the grammar that it was applied with."""
        if self.parent is None:
            return []
        return [*self.parent._history(), *((e, self.parent.grammar) for e in self.script[len(self.parent.script) :])]  # noqa: SLF001 - the same class

    def _after(self, snapshot: Snapshot, edits: tuple[Edit, ...]) -> Self:
        graph = build_graph(snapshot, previous=self.graph)
        return replace(self, graph=graph, script=(*self.script, *edits), parent=self)


def _edit(edit: Edit | str) -> Edit:
    return parse_edit(edit) if isinstance(edit, str) else edit
