"""Shrink a script: the fewest of its edits that still do what it was kept for.

Source: delta debugging (Zeller and Hildebrandt 2002, ddmin). The predicate is asked about sub-scripts in their order; one that does not
apply is no answer and counts as not holding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutator.edit import Edit, EditError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mutator.code import Code


def shrink(root: Code, script: Sequence[Edit], holds: Callable[[Code], bool]) -> tuple[Edit, ...]:
    """Return a sub-script that holds and of which no single edit can be left out.

    Raises: EditError: the whole script does not apply, or does not hold to begin with.
    """
    asked: dict[tuple[Edit, ...], bool] = {}

    def test(edits: tuple[Edit, ...]) -> bool:
        if edits not in asked:
            try:
                asked[edits] = holds(root.apply(*edits))
            except EditError:
                asked[edits] = False
        return asked[edits]

    kept = tuple(script)
    root.apply(*kept)
    if not test(kept):
        raise EditError("shrink: the whole script does not hold; nothing to shrink")
    n_parts = 2
    while len(kept) > 1:
        size = -(-len(kept) // n_parts)
        parts = [kept[i : i + size] for i in range(0, len(kept), size)]
        rests = [sum((p for p in parts if p is not part), ()) for part in parts]
        smaller = next((edits for edits in (*parts, *rests) if len(edits) < len(kept) and test(edits)), None)
        if smaller is not None:
            n_parts = 2 if smaller in parts else max(n_parts - 1, 2)
            kept = smaller
        elif n_parts >= len(kept):
            break
        else:
            n_parts = min(len(kept), 2 * n_parts)
    return () if kept and test(()) else kept
