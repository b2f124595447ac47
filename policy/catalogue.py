"""The edits of one program as arrays: described once, and compared once with each edit that was tried."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from policy.lineage import UNEDITED
from policy.traits import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from policy.effects import Belief, Effects
    from policy.kernel import Kernel
    from policy.lineage import Key
    from policy.prior import Prior
    from policy.traits import Floats, Ints, Traits


class Catalogue:
    """Grows by the edits that are asked for. M edits, of U that were tried in any program."""

    def __init__(self, graph: CodeGraph, prior: Prior | None) -> None:
        self.graph, self._prior = graph, prior
        self._rows: dict[Edit, int] = {}
        self._traits: Traits | None = None
        self._shared: dict[Kernel, tuple[Ints, Floats]] = {}  # (U,) edits that were tried, (U, M) covariances with them
        self._beliefs: dict[Kernel, tuple[Effects, dict[Key, Belief]]] = {}  # by the program that is edited

    def describe(self, edits: Sequence[Edit]) -> Traits:
        """Return the traits of edits, at least one."""
        rows, traits = self._find(edits)
        return traits[rows]

    def believe(self, effects: Effects, edits: Sequence[Edit], program: Key = UNEDITED) -> tuple[Floats, Floats]:
        """Return means and deviations of the effects of edits of a program: (len(edits),) each."""
        rows, traits = self._find(edits)
        known, beliefs = self._beliefs.get(effects.kernel, (None, {}))
        if known is not effects:
            beliefs = {}
        if program not in beliefs or len(beliefs[program].mean) < len(traits):
            beliefs[program] = effects.believe(traits, program, self._compare(effects, traits))
        self._beliefs[effects.kernel] = effects, beliefs
        return beliefs[program].mean[rows], beliefs[program].deviation[rows]

    def _find(self, edits: Sequence[Edit]) -> tuple[list[int], Traits]:
        """Return the rows of edits, with the traits of all: those that are new here are described first."""
        rows = [self._rows.get(edit, -1) for edit in edits]
        if -1 in rows:
            new = list(dict.fromkeys(edit for edit, row in zip(edits, rows, strict=True) if row < 0))
            described = describe(self.graph, new)
            if self._prior is not None:
                promise, price = self._prior.promise(described)
                described = replace(described, promise=promise, price=price)
            self._rows |= {edit: len(self._rows) + i for i, edit in enumerate(new)}
            self._traits = described if self._traits is None else self._traits.join(described)
            rows = [self._rows[edit] for edit in edits]
        assert self._traits is not None
        return rows, self._traits

    def _compare(self, effects: Effects, traits: Traits) -> Floats | None:
        """Return the covariances of all edits with those that were tried: only those of new ones are computed."""
        if effects.tried is None:
            return None
        before, shared = self._shared.get(effects.kernel, (np.zeros(0, np.int64), np.zeros((0, 0))))
        known = _count_equal(before, effects.tried.edits) if shared.shape[1] == len(traits) else 0
        new = effects.kernel.covary(effects.tried[range(known, len(effects.tried))], traits)
        found = np.concatenate([shared[:known], new]) if known else new
        self._shared[effects.kernel] = effects.tried.edits, found
        return found


def _count_equal(one: Ints, other: Ints) -> int:
    """Return how many entries two arrays have in common before the first that differs."""
    n = min(len(one), len(other))
    differs = np.flatnonzero(one[:n] != other[:n])
    return int(differs[0]) if len(differs) else n
