"""The tables of docs/policy.md, from the walks that were played and the campaigns that trained.

`python -m bench.policy_tables` prints them from bench/data: policies.jsonl.xz is what `codegraft bench policies --reference ppo` writes,
compressed; campaigns.jsonl what it writes for a TARGET. Other files of walks may be given; several are put together,
each with policies of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.benchmark.play import Played
from harness.benchmark.real import Searched, table_of
from harness.benchmark.rows import read_rows
from harness.benchmark.statistics import difference, estimate, probability_of_improvement
from harness.benchmark.table import rows_of, stand
from harness.sources import open_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.benchmark.table import Standings

ROWS = Path(__file__).parent / "data" / "policies.jsonl.xz"
CAMPAIGNS = ROWS.with_name("campaigns.jsonl")
_OURS = "ppo"
_ALONE = "gp"
_NUMBERS_ONLY = "tpe"  # is no rival by groups: it turns numbers of the unedited target only


def main(paths: Sequence[str]) -> None:
    """Print the tables, one below the other."""
    standings = stand([played for path in paths or (str(ROWS),) for played in read_rows(Path(path), Played)])
    for table in (*(table(standings) for table in TABLES), *real_tables(CAMPAIGNS)):
        sys.stdout.write("\n".join(table) + "\n\n")


def real_tables(path: Path) -> Iterator[Iterator[str]]:
    """Say what campaigns gained, target by target, with the seeds that all policies have, at least two."""
    found = sorted(read_rows(path, Searched), key=lambda each: each.seed)
    for target in dict.fromkeys(each.target for each in found):
        here = [each for each in found if each.target == target]
        shared = set.intersection(*({e.seed for e in here if e.policy == name} for name in {e.policy for e in here}))
        paired = [each for each in here if each.seed in shared]
        if len(shared) > 1:
            yield table_of(f"{open_target(target).metric} of {target}", paired, "random")


def shares(standings: Standings) -> Iterator[str]:
    """Say what each policy gains, as interquartile means."""
    rows = []
    for policy in standings.policies:
        cells = [policy, *(str(estimate(standings.at(policy, n))) for n in standings.checkpoints)]
        rows.append([f"**{cell}**" for cell in cells] if policy == _OURS else cells)
    return rows_of(["policy", *_after(standings)], rows)


def parts(standings: Standings) -> Iterator[str]:
    """Say by how much ours is ahead of what it is with a part left out or added."""
    return leads(standings, f"{_OURS} ahead of itself with")


def leads(standings: Standings, title: str = "against") -> Iterator[str]:
    """Say by how much ours is ahead of each other policy, paired."""
    rows = []
    for other in _others(standings):
        pairs = [(standings.at(_OURS, n), standings.at(other, n)) for n in standings.checkpoints]
        ahead = probability_of_improvement(*pairs[min(2, len(pairs) - 1)]).value
        rows.append([other, *(str(difference(*pair)) for pair in pairs), f"{ahead:.0%}".replace("%", " %")])
    return rows_of([title, *_after(standings), "ahead"], rows)


def by_task(standings: Standings) -> Iterator[str]:
    """Say what ours and the best of the others gain on each task."""
    rows = []
    for i, task in enumerate(standings.tasks):
        cells = []
        for n in standings.checkpoints:
            gained = {policy: f"{standings.at(policy, n)[i].mean():.2f}" for policy in standings.policies}
            ours, best = gained.pop(_OURS), max(gained.values(), key=float)
            cells.append(f"{ours}, {' and '.join(policy for policy, each in gained.items() if each == best)} {best}")
        rows.append([_short(task), *cells])
    return rows_of(["task", *_after(standings)], rows)


def by_group(standings: Standings) -> Iterator[str]:
    """Say by how much ours is ahead on the tasks of each kind, where it matters."""
    others = [other for other in _others(standings) if other != _NUMBERS_ONLY]
    rows = []
    for group, rows_in in _groups(standings).items():
        for n in sorted({50, 100} & {*standings.checkpoints}):
            found = [difference(standings.at(_OURS, n)[rows_in], standings.at(other, n)[rows_in]) for other in others]
            rows.append([f"{group}, {n} trials", *map(str, found)])
    return rows_of([f"{_OURS} ahead of", *others], rows)


def against_each(standings: Standings) -> Iterator[str]:
    """Say by how much ours is ahead of the same process alone, task by task."""
    rows = []
    for i, task in enumerate(standings.tasks):
        pairs = ((standings.at(_OURS, n)[[i]], standings.at(_ALONE, n)[[i]]) for n in standings.checkpoints)
        rows.append([_short(task), *(str(difference(*pair)) for pair in pairs)])
    return rows_of([f"{_OURS} ahead of {_ALONE}", *_after(standings)], rows)


def early(standings: Standings) -> Iterator[str]:
    """Say how many times as much ours has early as the best of the others, where tasks share something."""
    first, groups = standings.checkpoints[0], _groups(standings)
    sharing = [i for i, task in enumerate(standings.tasks) if "/rho" in task and "/rho 0/" not in task]
    rows = []
    for group, rows_in in (
        ("invented tasks that share", sharing),
        ("measured landscapes", groups["measured landscapes"]),
    ):
        gained = {policy: float(standings.at(policy, first)[rows_in].mean()) for policy in standings.policies}
        ours, best = gained.pop(_OURS), max(gained, key=gained.__getitem__)
        rows.append([group, f"{ours:.3f}", f"{best} {gained[best]:.3f}", f"{ours / gained[best]:.2f}"])
    return rows_of([f"mean share after {first} trials", _OURS, "best other", "times"], rows)


TABLES: tuple[Callable[[Standings], Iterator[str]], ...] = (shares, leads, by_task, by_group, against_each, early)


def _others(standings: Standings) -> list[str]:
    return [policy for policy in standings.policies if policy != _OURS]


def _after(standings: Standings) -> list[str]:
    return [f"{n} trials" for n in standings.checkpoints]


def _groups(standings: Standings) -> dict[str, list[int]]:
    invented = np.array(["/" in task for task in standings.tasks])
    return {"invented tasks": [*np.flatnonzero(invented)], "measured landscapes": [*np.flatnonzero(~invented)]}


def _short(task: str) -> str:
    return task.removeprefix("bytelm/").replace("/", ", ")


if __name__ == "__main__":
    main(sys.argv[1:])
