"""The reward: what the policy learns from a trial, as a sum of named terms.

metric: for a gain asinh(z), in standard errors: linear near 0 and logarithmic far out, so that one lucky jump does not drown the rest.
For a loss exp(z) - 1: a search hands back its best program, so a bad trial costs its slot, however bad it is, and little more than that.
equivalent: an edit that measures bit-equal to its incumbent changed nothing that counts; without a price, doing nothing would beat trying.
novelty: up to a quarter for a program that differs in structure from all that ran, by its rank in graph.archive. Only
programs that ran are paid for it and count as known (minimal-criterion novelty, Lehman and Stanley 2010): an unusual crash is worth
nothing.
complexity: a small price of more paths and more code than the unedited target has.
stopped: alone when the stopping rule ended the run. What it would have measured is censored, not good: it counts as the worst loss.
failure: alone when the run has no metric for another reason. It lies below everything a measured run can get: a crash never pays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.values import Reward, Status

if TYPE_CHECKING:
    from graph.complexity import Complexity
    from harness.values import Verdict

FAILURE = -2.0  # what a measured run at worst gets
EQUIVALENT = -1.0  # as bad as a loss can be
STOPPED = -1.0  # likewise
NOVELTY = 0.25  # of the most novel program: a quarter of one standard error of gain
COMPLEXITY = -0.05  # per path

_COMPLEXITY_LEAST = -1.0  # with the worst loss, FAILURE
_NODES_PER_PATH = 50  # about five lines of straight code weigh as much as a branch


def reward_of(verdict: Verdict, *, novelty: float, complexity: Complexity, status: Status = Status.OK) -> Reward:
    """Reward a trial for its verdict, its novelty (a rank in [0, 1]), and its complexity beyond the unedited target's."""
    if math.isnan(verdict.gain):
        return Reward((("stopped", STOPPED),) if status is Status.STOPPED else (("failure", FAILURE),))
    paths = (complexity.cyclomatic + complexity.cognitive) / 2 + complexity.nodes / _NODES_PER_PATH
    price = ("complexity", max(_COMPLEXITY_LEAST, COMPLEXITY * max(0.0, paths)))
    if verdict.gain == 0.0:
        return Reward((("equivalent", EQUIVALENT), price))
    metric = math.asinh(verdict.z) if verdict.z > 0.0 else math.expm1(verdict.z)
    return Reward((("metric", metric), ("novelty", NOVELTY * novelty), price))
