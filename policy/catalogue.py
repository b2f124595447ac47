"""The edits of one program as arrays: described once, and compared once with each edit that was tried."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from policy.traits import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from policy.effects import Belief, Effects, Kernel
    from policy.prior import Prior
    from policy.traits import Floats, Traits


class Catalogue:
    """Grows by the edits that are asked for. M edits, of U that were tried in any program."""

    def __init__(self, graph: CodeGraph, prior: Prior | None) -> None:
        self.graph, self._prior = graph, prior
        self._rows: dict[Edit, int] = {}
        self._traits: Traits | None = None
        self._shared: dict[Kernel, Floats] = {}  # (U, M) covariances under the kernel
        self._beliefs: dict[Kernel, tuple[Effects, Belief]] = {}

    def describe(self, edits: Sequence[Edit]) -> Traits:
        """Return the traits of edits, at least one."""
        rows, traits = self._find(edits)
        return traits[rows]

    def believe(self, effects: Effects, edits: Sequence[Edit]) -> tuple[Floats, Floats]:
        """Return means and deviations of the effects of edits: (len(edits),) each."""
        rows, traits = self._find(edits)
        known, belief = self._beliefs.get(effects.kernel, (None, None))
        if belief is None or known is not effects or len(belief.mean) < len(traits):
            belief = effects.believe(traits, self._compare(effects, traits))
            self._beliefs[effects.kernel] = effects, belief
        return belief.mean[rows], belief.deviation[rows]

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
        """Return the covariances of all edits with those that were tried; what was tried first does not change."""
        if effects.tried is None:
            return None
        shared = self._shared.get(effects.kernel, np.zeros((0, len(traits))))
        known = len(shared) if shared.shape[1] == len(traits) else 0
        new = effects.kernel.covary(effects.tried[range(known, len(effects.tried))], traits)
        self._shared[effects.kernel] = found = np.concatenate([shared, new]) if known else new
        return found
