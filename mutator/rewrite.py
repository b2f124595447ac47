"""RewriteUnit: a libcst transformer on one function or class, spliced back as the fewest replaced lines."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from mutator.kind import Reason, Refused
from mutator.patch import Replacement

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst


def rewritten(data: bytes, start: int, end: int, transformer: libcst.CSTTransformer) -> Iterator[Replacement]:
    """Walk the replacements that the transformer makes in the unit at [start, end), which starts its line.

    An indented unit is parsed below `if True:`, so that nothing of it is moved.
    Raises: Refused: libcst cannot read the unit, or what the transformer left is no code.
    """
    import libcst  # noqa: PLC0415 - 0.3 s that other edits need not pay

    old = data[start:end].decode()
    around = "if True:\n" if old[:1].isspace() else ""
    try:
        new = libcst.parse_module(around + old).visit(transformer).code.removeprefix(around)
    except (libcst.ParserSyntaxError, libcst.CSTValidationError) as error:
        raise Refused(
            Reason.BROKEN, f"byte {start}: libcst cannot rewrite the unit ({type(error).__name__})"
        ) from error
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    offsets = [start]
    for line in before:
        offsets.append(offsets[-1] + len(line.encode()))
    for tag, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            yield Replacement(offsets[i], data[offsets[i] : offsets[j]], "".join(after[k:m]).encode())
