"""What a person forbids: kinds of edits, and units with all that lies in them, whatever would be legal there.

Forbidden is not protected: a protected statement belongs to what measures, and says so; a forbidden one is a wish. Both are closed to
patches that reach in from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.model import NodeKind
from mutator.grammar import find_site
from mutator.kind import Reason, Refused

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from mutator.grammar import Grammar

UNITS = (NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.MODULE)


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Nothing, unless it says what."""

    kinds: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()  # slots; that of a module is its whole file

    def left_of(self, grammar: Grammar) -> Grammar:
        """Return the kinds that are not forbidden."""
        return grammar.without(*(kind.name for kind in grammar.kinds if kind.name in self.kinds))

    def refuse(self, graph: CodeGraph, edit: Edit) -> None:
        """Refuse an edit of a forbidden kind, or at a site in a forbidden unit.

        Raises: Refused: it is one. SiteGone: its site is not there.
        """
        if edit.kind in self.kinds:
            raise Refused(
                Reason.FORBIDDEN, f"{edit.uri}: {edit.kind} is a forbidden kind; choose an edit of another one"
            )
        if not self.units:
            return
        site = find_site(graph, edit)
        for node in (site, *graph.ancestors(site)):
            if node.slot in self.units:
                what = f"all of {node.path}" if node.kind is NodeKind.MODULE else node.slot
                raise Refused(Reason.FORBIDDEN, f"{edit.uri}: {what} is forbidden; choose an edit elsewhere")
