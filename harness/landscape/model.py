"""What a table says beyond its rows: how noisy it is, what scripts would measure that were not run, and which would have no metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from harness.landscape.crashes import Crashes, fit_crashes, fit_limit
from harness.landscape.noise import Noise, fit_noise
from harness.landscape.surrogate import Observed, Surrogate, fit_surrogate, observe
from harness.values import Status
from mutator.kind import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.landscape.table import Script, Table


@dataclass(frozen=True, slots=True)
class Model:
    """All that is fitted to a table."""

    noise: Noise
    surrogate: Surrogate
    given: Mapping[Script, float]  # the weight that the surrogate gives a script


@dataclass(frozen=True, slots=True)
class Reading:
    """A table's rows, by script."""

    addresses: tuple[str, ...]  # of the edits, sorted
    metrics: Mapping[Script, Mapping[int, float]]  # of what has a metric; a duplicate has that of what it duplicates
    works: Mapping[Script, bool]  # whether a script has a metric, for all in the table
    refused: frozenset[Script]  # those of several edits of which there is no program
    late: frozenset[Script]  # those that took too long

    def observed(self, noise: Noise, *, sign: float) -> Observed:
        """Return what the surrogate is fitted to."""
        return observe(self.metrics, self.addresses, noise, sign=sign)

    @property
    def crashes(self) -> Crashes:
        """Which scripts have no metric, of those that ended in time."""
        out = {script for script in self.refused | self.late if len(script) > 1}
        return fit_crashes({script: ok for script, ok in self.works.items() if script not in out}, self.addresses)

    def limit(self, doublings: Mapping[Script, float]) -> float:
        """Return how many doublings of CPU time are too many."""
        return fit_limit({s: s not in self.late for s, ok in self.works.items() if ok or s in self.late}, doublings)


def read_rows(table: Table) -> Reading:
    """Sort a table's rows by script; a script that failed on one seed and not on most works."""
    metrics: dict[Script, dict[int, float]] = {}
    n_failed: dict[Script, int] = {}
    duplicates = {row.script: row.same_as for row in table.rows if row.same_as is not None}
    for row in table.rows:
        if row.ok and row.seed is not None:
            metrics.setdefault(row.script, {})[row.seed] = row.metric
        elif row.status is not Status.DUPLICATE:
            n_failed[row.script] = n_failed.get(row.script, 0) + 1
    for script, number in n_failed.items():
        if number >= len(metrics.get(script, ())):
            metrics.pop(script, None)
    for script, same in duplicates.items():
        if same in metrics:
            metrics[script] = metrics[same]
        elif same in n_failed:
            n_failed[script] = 1
    addresses = sorted({address for row in table.rows if len(row.script) == 1 for address in row.script})
    known = set(addresses)
    whole = {script for script in (*metrics, *n_failed) if known.issuperset(script)}
    works = {script: script in metrics for script in sorted(whole)}
    refused = frozenset(row.script for row in table.rows if isinstance(row.status, Reason) and len(row.script) > 1)
    late = frozenset(
        row.script for row in table.rows if row.status is Status.TIMEOUT and not works.get(row.script, True)
    )
    found = {script: metrics[script] for script in sorted(metrics) if script in whole}
    return Reading(tuple(addresses), found, works, refused, late)


def read_costs(table: Table) -> Mapping[Script, float]:
    """Return what scripts cost: doublings of CPU time against the median of all single edits, most of which change nothing about it.

    The machine was not equally busy all the time, so that a few runs of the unedited target are no measure.
    """
    seconds: dict[Script, list[float]] = {}
    for row in table.rows:
        if row.status in (Status.OK, Status.TIMEOUT) and row.cpu_s > 0.0:
            seconds.setdefault(row.script, []).append(row.cpu_s)
    doublings = {script: math.log2(median(each)) for script, each in seconds.items()}
    usual = median(value for script, value in doublings.items() if len(script) == 1) if doublings else 0.0
    return {script: value - usual for script, value in doublings.items()}


def fit_model(table: Table) -> Model:
    """Fit noise and surrogate to a table.

    Raises: TrialError: the unedited target has no two runs in it.
    """
    reading = read_rows(table)
    noise = fit_noise(reading.metrics, table.provenance.bound)
    surrogate, given = fit_surrogate(reading.observed(noise, sign=table.provenance.sign), seed=table.provenance.seed)
    scripts = (script for script in reading.metrics if script)
    return Model(noise, surrogate, dict(zip(scripts, map(float, given), strict=True)))
