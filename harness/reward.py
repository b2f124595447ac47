"""The reward: what the policy learns from a trial, as a sum of named terms.

metric: for a gain asinh(z), in standard errors: linear near 0 and logarithmic far out, so that one lucky jump does not drown the rest.
For a loss exp(z) - 1: a search hands back its best program, so a bad trial costs its slot, however bad it is, and little more than that.
equivalent: an edit that measures bit-equal to its incumbent changed nothing that counts; without a price, doing nothing would beat trying.
novelty: up to a quarter for a program that differs in structure from all that ran, by its rank in graph.archive. Only
programs that ran are paid for it and count as known (minimal-criterion novelty, Lehman and Stanley 2010): an unusual crash is worth
nothing.
complexity: a small price of more paths and more code than the unedited target has.
stopped: when the stopping rule ended the run. What it would have measured is censored, not good: it counts as the worst loss, and pays for
its complexity as the same run would have done at its end.
failure: alone when the run has no metric for another reason. It lies below everything a measured run can get: a crash never pays.

What the terms weigh is a table of the manifest, [reward] (targets.wishes), and recorded where a campaign begins. The metric is the unit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.values import Reward, Status
from targets.wishes import DEFAULT_WEIGHTS, LEAST_COMPLEXITY

if TYPE_CHECKING:
    from graph.complexity import Complexity
    from harness.values import Verdict
    from targets.wishes import Weights

_NODES_PER_PATH = 50  # about five lines of straight code weigh as much as a branch


def reward_of(
    verdict: Verdict,
    *,
    novelty: float,
    complexity: Complexity,
    status: Status = Status.OK,
    weights: Weights = DEFAULT_WEIGHTS,
) -> Reward:
    """Reward a trial for its verdict, its novelty (a rank in [0, 1]), and its complexity beyond the unedited target's."""
    if math.isnan(verdict.gain) and status is not Status.STOPPED:
        return Reward((("failure", weights.failure),))
    price = ("complexity", max(LEAST_COMPLEXITY, weights.complexity * max(0.0, paths_of(complexity))))
    if math.isnan(verdict.gain):
        return Reward((("stopped", weights.stopped), price))
    if verdict.gain == 0.0:
        return Reward((("equivalent", weights.equivalent), price))
    metric = math.asinh(verdict.z) if verdict.z > 0.0 else math.expm1(verdict.z)
    return Reward((("metric", metric), ("novelty", weights.novelty * novelty), price))


def paths_of(complexity: Complexity) -> float:
    """Sum the three figures of a complexity up, in paths."""
    return (complexity.cyclomatic + complexity.cognitive) / 2 + complexity.nodes / _NODES_PER_PATH
