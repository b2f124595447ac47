"""Programs that no other one beats on everything: the metric, the CPU time of a run, and how much more complex they have become.

A search has one objective, and what it keeps is judged by that alone. Of the programs that it measured on the way, a person may want
another one: nearly as good, and faster or simpler. Figures are taken as they were measured, so a lead within the noise counts as a lead.
Parameters of a model are not recorded, and no objective here.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from graph.complexity import complexity
from harness.reward import paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.objects import ObjectStore
    from harness.record import Record
    from harness.values import Trial


@dataclass(frozen=True, slots=True)
class Contender:
    """A measured program by its objectives."""

    trial: Trial | None  # None: the unedited target
    metric: float  # comparable over the campaign, see Verdict.metric
    cpu_s: float  # of a run, the mean
    paths: float  # more than the unedited target has, counted as the reward does; negative when simpler

    @property
    def number(self) -> int:
        """Of the trial; 0: the unedited target."""
        return self.trial.number if self.trial is not None else 0


def pareto_front(record: Record, store: ObjectStore) -> tuple[Contender, ...]:
    """Return the measured programs that no other one dominates, the best metric first; none before the baseline is measured.

    Raises: TrialError: a program version is damaged.
    """
    sign, found = record.settings.sign, tuple(_contenders(record, store))
    costs = [(-sign * each.metric, each.cpu_s, each.paths) for each in found]
    return tuple(found[index] for index in undominated(costs))


def undominated(costs: Sequence[tuple[float, ...]]) -> tuple[int, ...]:
    """Return the indexes of the points that no other one dominates: is nowhere worse and somewhere better; less is better.

    Returns: in the order of their costs; points that are equal stay together.
    """
    front: list[int] = []
    # What dominates a point comes before it, and is in the front or dominated by what is.
    for index in sorted(range(len(costs)), key=costs.__getitem__):
        if not any(dominates(costs[other], costs[index]) for other in front):
            front.append(index)
    return tuple(front)


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether the one is nowhere worse than the other and somewhere better; less is better."""
    return one != other and all(ours <= theirs for ours, theirs in zip(one, other, strict=True))


def _contenders(record: Record, store: ObjectStore) -> Iterator[Contender]:
    if not record.baseline or not all(outcome.ok for outcome in record.baseline):
        return
    metric, cpu_s = (fmean(getattr(outcome, name) for outcome in record.baseline) for name in ("metric", "cpu_s"))
    yield Contender(None, metric, cpu_s, 0.0)
    measured = [trial for trial in record.trials if trial.ok]
    root = store.files(store.first(measured[0].commit)) if measured else {}
    for trial in measured:
        grown = _paths_between(root, store.files(trial.commit))
        yield Contender(trial, trial.metric, fmean(outcome.cpu_s for outcome in trial.outcomes), grown)


def _paths_between(root: dict[str, bytes], files: dict[str, bytes]) -> float:
    changed = [path for path in files if files[path] != root.get(path)]  # a frozen file need not parse
    before = complexity({path: root[path] for path in changed if path in root})
    return paths_of(complexity({path: files[path] for path in changed}) - before)
