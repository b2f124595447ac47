"""Scripts of several edits: what is believed to gain alone is tried together, while the whole promises more with each edit.

A night has a hundred trials, and a program that is a little better is not kept: several small gains are, at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from policy.costs import log_chance
from policy.effects import log_expected_improvement
from policy.options import MARGIN
from policy.protocol import Move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutator.edit import Edit
    from policy.insight import Insight
    from policy.options import Options
    from policy.protocol import Parent
    from policy.traits import Floats

MOST_EDITS = 4
_POOL = 24  # edits that may join
_SURE = 0.7  # deviations by which an edit has to be believed to gain before it joins others
_LEAST_GAIN = 1e-3  # of the log expected improvement


def lengthen(insight: Insight, parent: Parent, options: Options, row: int) -> tuple[Move, float]:
    """Let edits of the same program join an option; return the script with its log expected improvement."""
    edits = _pool(insight, parent, options, row)
    gains, costs = insight.foresee(parent, edits)
    behind, room = options.behind[row], insight.room(parent)

    def values_of(chosen: Sequence[int], others: Sequence[int]) -> Floats:
        mean, variance = gains.join(chosen, others)
        improvement = log_expected_improvement(mean - behind - MARGIN, np.sqrt(variance))
        return improvement + log_chance(*costs.join(chosen, others), room)

    chosen, value = [0], values_of([], [0])[0]
    while len(chosen) < MOST_EDITS:
        sites = {edits[i].site for i in chosen}
        free = [i for i, edit in enumerate(edits) if edit.site not in sites]
        values = values_of(chosen, free)
        better = (i for i in np.argsort(-values, kind="stable") if values[i] > value + _LEAST_GAIN)
        new = (i for i in better if insight.is_new(parent, [edits[j] for j in (*chosen, free[i])]))
        joined = next(new, None)
        if joined is None:
            break
        value = values[joined]
        chosen.append(free[joined])
    return Move(parent.number, tuple(edits[i] for i in chosen)), float(value)


def _pool(insight: Insight, parent: Parent, options: Options, row: int) -> list[Edit]:
    """Return the option's edit, then those that may join it, the best first."""
    open_rows = [i for i, number in enumerate(options.parents) if number == parent.number and i != row]
    ran = insight.ran_on(parent)
    edits = [*(options.edits[i] for i in open_rows), *ran]
    mean, deviation = options.mean[open_rows], options.deviation[open_rows]
    if ran:
        beliefs = zip((mean, deviation), insight.believe(parent, ran), strict=True)
        mean, deviation = (np.concatenate(each) for each in beliefs)
    joining = [i for i in np.argsort(-mean, kind="stable") if mean[i] > _SURE * deviation[i]][:_POOL]
    return [options.edits[row], *(edits[i] for i in joining)]
