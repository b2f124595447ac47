"""Packing: what is wanted of several files goes into outlines under one cap of tokens, each at the best level that still fits."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.outline import Level, Outline, Source
from graph.tokens import BYTES_PER_TOKEN, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Want:
    """Something worth keeping, at one of several levels, the best first."""

    source: Source
    statement: ast.stmt
    name: str
    levels: tuple[Level, ...]
    imports: frozenset[str] = frozenset()


class Packing:
    """Outlines of several files under one cap: whatever would go over it is not kept."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._outlines: dict[str, Outline] = {}
        self._texts: dict[str, str] = {}

    def outline(self, source: Source) -> Outline:
        """Return the outline of a file; the first one that is asked for is printed last."""
        return self._outlines.setdefault(source.path, Outline(source))

    def keep(self, want: Want, *, share: float = 1.0) -> bool:
        """Keep a statement at the best level that fits and is better than the one that it has."""
        outline = self.outline(want.source)
        known, names = outline.kept.get(want.statement), outline.imported.get(want.statement)
        for level in want.levels:
            if known is not None and not (_better(level, known) or want.imports - (names or frozenset())):
                return True
            if known is None and level is Level.BODY and not want.imports and self._too_long(want, share):
                continue
            outline.kept[want.statement] = level
            if want.imports:
                outline.imported[want.statement] = want.imports | (names or frozenset())
            text = outline.text()
            if self._tokens(want.source.path, text) <= self.max_tokens * share:
                self._texts[want.source.path] = text
                return True
        outline.kept.pop(want.statement, None)
        outline.imported.pop(want.statement, None)
        if known is not None:
            outline.kept[want.statement] = known
        if names is not None:
            outline.imported[want.statement] = names
        return False

    def text(self) -> str:
        """Print what is kept: the files around the site first, by path, then the site's own."""
        first, *others = list(self._outlines)
        return "\n".join(text for path in (*sorted(others), first) if (text := self._texts.get(path)))

    def kept(self) -> Iterator[tuple[Source, ast.stmt, Level]]:
        """Walk what is kept, file by file in source order."""
        for path in sorted(self._outlines):
            outline = self._outlines[path]
            for statement in sorted(outline.kept, key=lambda s: s.lineno):
                yield outline.source, statement, outline.kept[statement]

    def _too_long(self, want: Want, share: float) -> bool:
        """Whether the lines of a statement alone go over the cap, even if it makes all elided names superfluous."""
        lines = want.source.lines[want.statement.lineno - 1 : want.statement.end_lineno]
        saved = sum(len(f"{name} = ".encode()) for name in self.outline(want.source).wanted) + BYTES_PER_TOKEN
        known = sum(len(text.encode("utf-8", "surrogatepass")) for text in self._texts.values())
        return known - saved + sum(map(len, lines)) > self.max_tokens * share * BYTES_PER_TOKEN

    def _tokens(self, path: str, text: str) -> int:
        lengths = [
            len((text if p == path else self._texts.get(p, "")).encode("utf-8", "surrogatepass"))
            for p in self._outlines
        ]
        return tokens_of(max(0, sum(lengths) + sum(map(bool, lengths)) - 1))


def _better(level: Level, known: Level) -> bool:
    return list(Level).index(level) < list(Level).index(known)
