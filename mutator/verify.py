"""The verification ladder: what every patch must pass before anything runs it. Cheap rungs first, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.syntax import FileSyntax, comments, parse_tree
from graph.walk import read_file
from mutator.expected import keeps_surroundings
from mutator.kind import Reason, Refused
from mutator.protect import is_protected

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.patch import Patch


def verify(graph: CodeGraph, patch: Patch, *, protected: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """Return the changed files of a patch that is sound.

    Rungs: the expected bytes are there; nothing frozen or protected is touched; it compiles; the tree around the replaced bytes is what it
    was; no comment is lost; no name is left unbound.
    Raises: EditError: stale bytes. Refused: any other rung.
    """
    changed = patch.apply(graph.snapshot.files)
    for path, replacements in patch.files:
        if path in graph.snapshot.frozen:
            raise Refused(Reason.FROZEN, f"{path}: is frozen; edit the mutable files")
        for node in _touched(graph, path, [(r.start, r.end) for r in replacements]):
            if is_protected(graph, node, protected):
                raise Refused(
                    Reason.PROTECTED, f"{node.slot}: is protected; it belongs to the budget, the seed or the measuring"
                )
        _check_file(graph.files[path], read_file(path, changed[path]))
        if any(b"#" in r.expect for r in replacements):
            _check_comments(graph.files[path], changed[path])
        if not keeps_surroundings(graph.files[path].data, replacements):
            raise Refused(
                Reason.BROKEN,
                f"{path}: the edit would change code around it; it needs parentheses or a line of its own",
            )
    return changed


def _touched(graph: CodeGraph, path: str, spans: list[tuple[int, int]]) -> list[Node]:
    """Return the nodes of a file that replaced bytes reach into; an insertion next to a node does not touch it."""
    return [
        node
        for node in graph.files[path].nodes
        if any((node.start < end and start < node.end) or node.start < start < node.end for start, end in spans)
    ]


def _check_file(old: FileSyntax, new: FileSyntax) -> None:
    try:
        compile(new.data, new.path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Refused(Reason.BROKEN, f"{new.path}: the edit does not compile ({error})") from error
    unbound = sorted(new.unbound - old.unbound)
    if unbound:
        raise Refused(Reason.BROKEN, f"{new.path}: the edit leaves {', '.join(unbound)} unbound")


def _check_comments(old: FileSyntax, new: bytes) -> None:
    if not comments(old.tree) <= comments(parse_tree(new)):
        raise Refused(Reason.BROKEN, f"{old.path}: the edit would lose a comment")
