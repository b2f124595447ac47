"""The verification ladder: what every patch must pass before anything runs it. Cheap rungs first, each with its reason.

Only the chunks that a patch changes are read (see mutator.chunks), so a rung costs what the edit is large, not the file.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from graph.model import NodeKind
from graph.syntax import comments, parse_tree
from graph.walk import read_file
from mutator.calls import misfits
from mutator.chunks import Chunk, read_code, touched
from mutator.edit import EditError
from mutator.expected import keeps_surroundings
from mutator.groups import broken_assertions
from mutator.kind import Reason, Refused
from mutator.names import names_of
from mutator.promises import check_promises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.patch import Patch, Replacement


_WORDS = re.compile(rb"""\d[\d_.]*(?:[eE][-+]?\d+)?\w*|\.\d+\w*|[^\W\d]\w*|[^\x00-\x7f]+|[()\[\]{},:;=#'"\\]""")


_STAR = re.compile(rb"^\s*from\s[^\n]*\simport\s+\*", re.MULTILINE)
_BETWEEN = 400  # bytes of blank lines and comments that may follow a class
_NUMBER = re.compile(rb"-?(\d[\d_]*\.?[\d_]*|\.\d+)([eE][-+]?\d+)?")


class Rung(StrEnum):
    """The rungs, from cheap to dear. What is refused says at which."""

    BYTES = "bytes"  # the bytes that the patch expects are there
    PROTECTED = "protected"  # nothing frozen or protected is touched
    COMPILE = "compile"
    TREE = "tree"  # the tree around the replaced bytes is what it was
    COMMENTS = "comments"  # none is lost, but with a statement that is deleted
    NAMES = "names"  # none is left unbound or used before it is bound
    CALLS = "calls"  # new calls fit the signatures of what they call
    IMPORTS = "imports"  # what is newly imported is there
    ASSERTS = "asserts"  # no assert of the sources that can be evaluated turns false
    PROMISES = "promises"  # what earlier edits need is still so


@dataclass(frozen=True)
class Proposal:
    """A patch on a graph, with what every rung asks of it."""

    graph: CodeGraph
    patch: Patch
    protected: frozenset[str] = frozenset()
    promises: tuple[str, ...] = ()

    @cached_property
    def changed(self) -> dict[str, bytes]:
        """Path -> bytes of the changed files."""
        return self.patch.apply(self.graph.snapshot.files)

    @cached_property
    def renames(self) -> bool:
        """Whether names, brackets, commas or equals signs differ: else it calls, binds and imports what it did before."""
        replacements = [r for _, found in self.patch.files for r in found]
        return any(_words(r.expect) != _words(r.new) for r in replacements)

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """What changes, file by file."""
        return tuple(
            c for path, replacements in self.patch.files for c in touched(self.graph.files[path], replacements)
        )


def verify(
    graph: CodeGraph, patch: Patch, *, protected: frozenset[str] = frozenset(), promises: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """Return the changed files of a patch that passes every rung.

    Raises: EditError: stale bytes. Refused: any other rung, which its `rung` names.
    """
    proposal = Proposal(graph, patch, protected, promises)
    for rung, check in _LADDER.items():
        try:
            check(proposal)
        except EditError as error:
            error.rung = rung
            raise
    return proposal.changed


def _words(text: bytes) -> list[bytes]:
    return [b"0" if word[:1] in b".0123456789" else word for word in _WORDS.findall(text)]


def _bytes(proposal: Proposal) -> None:
    _ = proposal.changed


def _protected(proposal: Proposal) -> None:
    graph = proposal.graph
    for path, replacements in proposal.patch.files:
        if path in graph.snapshot.frozen:
            raise Refused(Reason.FROZEN, f"{path}: is frozen; edit the mutable files")
        known = graph.files[path].by_slot
        for node in (known[slot] for slot in proposal.protected if slot in known):
            whole = node.kind is NodeKind.MODULE
            if whole or any(_reaches(r, node.start, node.end) for r in replacements):
                raise Refused(
                    Reason.PROTECTED,
                    f"{node.slot}: is protected; it belongs to the budget, the seed or the measuring, or is spared",
                )


def _reaches(r: Replacement, start: int, end: int) -> bool:
    """Whether a replacement changes what stands at [start, end); an insertion next to it does not."""
    return (start < r.end and r.start < end) or start < r.start < end


def _compiles(proposal: Proposal) -> None:
    for path, replacements in proposal.patch.files:
        # Of all statements only imports from __future__ care what stands before them.
        future = proposal.changed[path].rfind(b"from __future__")
        codes = [proposal.changed[path]] if replacements[0].start <= future else []
        for code in (*codes, *(chunk.new for chunk in proposal.chunks if chunk.path == path)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    compile(read_code(code).tree, path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError) as error:
                raise Refused(Reason.BROKEN, f"{path}: the edit does not compile ({error})") from error


def _tree(proposal: Proposal) -> None:
    for chunk in proposal.chunks:
        if not keeps_surroundings(chunk.old, chunk.replacements):
            raise Refused(
                Reason.BROKEN,
                f"{chunk.path}: the edit would change code around it; it needs parentheses or a line of its own",
            )


def _comments(proposal: Proposal) -> None:
    for chunk in proposal.chunks:
        if any(b"#" in r.expect for r in chunk.replacements):
            with_them = [r for r in chunk.replacements if not r.new and _whole_lines(chunk.old, r)]
            deleted = sum((comments(parse_tree(r.expect)) for r in with_them), Counter[bytes]())
            if not comments(parse_tree(chunk.old)) - deleted <= comments(parse_tree(chunk.new)):
                raise Refused(Reason.BROKEN, f"{chunk.path}: the edit would lose a comment")


def _whole_lines(data: bytes, r: Replacement) -> bool:
    return (r.start == 0 or data[r.start - 1 : r.start] == b"\n") and (r.expect.endswith(b"\n") or r.end == len(data))


def _names(proposal: Proposal) -> None:
    for path in proposal.patch.paths if proposal.renames else ():
        chunks = [chunk for chunk in proposal.chunks if chunk.path == path]
        missing = sorted(_missing(proposal, path, chunks))
        if missing:
            raise Refused(Reason.BROKEN, f"{path}: the edit leaves {', '.join(missing)} unbound")


def _missing(proposal: Proposal, path: str, chunks: list[Chunk]) -> Iterator[str]:
    """Walk the names that the new code of a file needs and the old one did not, and that nothing binds, or not yet."""
    file = proposal.graph.files[path]
    scope = file.scopes.get(file.module)
    places = [(chunk, names_of(chunk.old), names_of(chunk.new)) for chunk in chunks]
    at_module = [(old.bound, new.bound) for chunk, old, new in places if not chunk.member]
    lost = {name for old, new in at_module for name in old - new} - {name for _, new in at_module for name in new}
    if lost:
        yield from read_file(path, proposal.changed[path]).unbound - file.unbound
        others = (f for f in proposal.graph.files.values() if f is not file and f.module in f.scopes)
        wanted = {b.target for f in others for found in f.scopes[f.module].bindings.values() for b in found}
        yield from (name for name in lost if f"{file.module}.{name}" in wanted)
    gained = {name for _, new in at_module for name in new}
    starred = any(new.starred for _, _, new in places) or _STAR.search(file.data) is not None
    known = {*(scope.bindings if scope is not None else ()), *gained} - lost
    for chunk, old, new in places:
        yield from (name.rpartition(".")[2] for name in new.early - old.early)
        if not starred:
            members = _members(proposal.graph, path, chunk) & new.at_once
            yield from (name for name in new.needed - old.needed if name not in known and name not in members)
        for name in new.at_once - old.at_once - gained:
            starts = [
                proposal.graph.nodes[b.slot].start for b in (scope.bindings.get(name, ()) if scope is not None else ())
            ]
            if starts and min(starts) >= chunk.shift + len(chunk.old):
                yield name


def _members(graph: CodeGraph, path: str, chunk: Chunk) -> frozenset[str]:
    """Return the names that the class around a member binds: its body sees them, its methods do not."""
    file, place = graph.files[path], chunk.shift + len(chunk.old) - 1
    around = [
        n for n in file.nodes if chunk.member and n.kind is NodeKind.CLASS and n.start < place <= n.end + _BETWEEN
    ]
    return (
        frozenset(file.scopes[around[-1].slot].bindings) if around and around[-1].slot in file.scopes else frozenset()
    )


def _calls(proposal: Proposal) -> None:
    for error in misfits(proposal.graph, proposal.chunks) if proposal.renames else ():
        raise Refused(Reason.ARITY, f"{', '.join(proposal.patch.paths)}: {error}")


def _imports(proposal: Proposal) -> None:
    for chunk in proposal.chunks if proposal.renames else ():
        for name in sorted(_imported(chunk.new) - _imported(chunk.old)):
            if not _available(name) and not any(
                file.module.partition(".")[0] == name for file in proposal.graph.files.values()
            ):
                raise Refused(Reason.MISSING_IMPORT, f"{chunk.path}: the edit imports {name}, which is not installed")


@lru_cache(maxsize=2048)
def _imported(code: bytes) -> frozenset[str]:
    """Return the top-level packages that code imports."""
    if b"import" not in code:
        return frozenset()
    nodes = list(ast.walk(read_code(code).tree))
    plain = (a.name for n in nodes if isinstance(n, ast.Import) for a in n.names)
    of = (n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level)
    return frozenset(name.partition(".")[0] for name in (*plain, *of))


@lru_cache(maxsize=256)
def _available(package: str) -> bool:
    return find_spec(package) is not None  # of a top-level package: finds it and does not import it


def _asserts(proposal: Proposal) -> None:
    changes = dict(_changed_numbers(proposal))
    for broken in broken_assertions(proposal.graph, changes) if changes else ():
        where = f"{broken.path}:{proposal.graph.line(broken)}"
        raise Refused(Reason.ASSERTION, f"{where}: {proposal.graph.text(broken)!r} would fail; choose another value")


def _changed_numbers(proposal: Proposal) -> Iterator[tuple[Node, float]]:
    """Walk the literals that become another number."""
    for path, replacements in proposal.patch.files:
        values = {(r.start, r.end): r.new.decode().strip() for r in replacements if _NUMBER.fullmatch(r.new.strip())}
        for node in proposal.graph.files[path].nodes if values else ():
            if node.kind is NodeKind.LITERAL and (node.start, node.end) in values:
                yield node, ast.literal_eval(values[node.start, node.end])


def _promises(proposal: Proposal) -> None:
    if proposal.promises:
        check_promises(proposal.graph, proposal.changed, proposal.promises)


_LADDER = {
    Rung.BYTES: _bytes,
    Rung.PROTECTED: _protected,
    Rung.COMPILE: _compiles,
    Rung.TREE: _tree,
    Rung.COMMENTS: _comments,
    Rung.NAMES: _names,
    Rung.CALLS: _calls,
    Rung.IMPORTS: _imports,
    Rung.ASSERTS: _asserts,
    Rung.PROMISES: _promises,
}
