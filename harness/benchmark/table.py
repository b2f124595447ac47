"""A benchmark as a page: who gains how much after how many trials, ahead of whom, on which tasks, at what price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.benchmark.statistics import difference, estimate, probability_of_improvement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.benchmark.play import Played
    from harness.benchmark.statistics import Scores

CHECKPOINTS = (25, 50, 100, 200)


@dataclass(frozen=True, eq=False)
class Standings:
    """All walks of a benchmark: every policy played every task with every seed."""

    policies: tuple[str, ...]
    tasks: tuple[str, ...]
    curves: dict[str, Scores]  # policy -> (tasks, runs, trials)
    runs: dict[str, float]  # policy -> trainings per walk
    cpu_s: dict[str, float]  # policy -> seconds per trial, with the look-up

    @property
    def n_trials(self) -> int:
        """How long the walks are."""
        return int(next(iter(self.curves.values())).shape[-1])

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """After how many trials policies are compared."""
        return tuple(each for each in CHECKPOINTS if each <= self.n_trials) or (self.n_trials,)

    def at(self, policy: str, checkpoint: int) -> Scores:
        """Return the scores after so many trials: (tasks, runs)."""
        return self.curves[policy][..., checkpoint - 1]


def stand(played: Sequence[Played]) -> Standings:
    """Put walks in order; each policy has the same tasks and seeds."""
    policies, tasks = (tuple(dict.fromkeys(names)) for names in zip(*((p.policy, p.task) for p in played), strict=True))
    of = {policy: [each for each in played if each.policy == policy] for policy in policies}
    curves = {
        policy: np.array([[each.gains for each in walks if each.task == task] for task in tasks])
        for policy, walks in of.items()
    }
    n_trials = len(played[0].gains)
    runs = {policy: float(np.mean([each.n_runs for each in walks])) for policy, walks in of.items()}
    cpu_s = {policy: float(np.mean([each.cpu_s for each in walks])) / n_trials for policy, walks in of.items()}
    return Standings(policies, tasks, curves, runs, cpu_s)


def table_lines(standings: Standings, reference: str) -> Iterator[str]:
    """Write the page in Markdown."""
    n_runs = next(iter(standings.curves.values())).shape[1]
    yield "Share gained of what can be gained (1 - regret), by the true value of the incumbent:"
    yield f"interquartile mean of {len(standings.tasks)} tasks x {n_runs} seeds, [95 % interval by stratified bootstrap]."
    yield ""
    yield from rows_of(
        ["policy", *(f"{each} trials" for each in standings.checkpoints), "trainings", "ms per trial"],
        [
            [
                policy,
                *(str(estimate(standings.at(policy, each))) for each in standings.checkpoints),
                f"{standings.runs[policy]:.0f}",
                f"{1000 * standings.cpu_s[policy]:.1f}",
            ]
            for policy in standings.policies
        ],
    )
    yield ""
    yield f"Against {reference}, paired by landscape and seed: mean difference of the shares, and how often the policy is ahead."
    yield ""
    others = [policy for policy in standings.policies if policy != reference]
    yield from rows_of(
        ["policy", *(f"{each}: {what}" for each in standings.checkpoints for what in ("difference", "ahead"))],
        [
            [
                policy,
                *(
                    str(compare(standings.at(policy, each), standings.at(reference, each)))
                    for each in standings.checkpoints
                    for compare in (difference, probability_of_improvement)
                ),
            ]
            for policy in others
        ],
    )
    last = [each for each in standings.checkpoints if each <= 100][-1:] or standings.checkpoints[-1:]
    yield ""
    yield f"Mean share gained per task after {last[0]} trials."
    yield ""
    rows = [
        [task, *(f"{standings.at(policy, last[0])[i].mean():.3f}" for policy in standings.policies)]
        for i, task in enumerate(standings.tasks)
    ]
    yield from rows_of(["task", *standings.policies], rows)


def rows_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write a table in Markdown."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
