"""Trials per hour on bytelm: launcher, early stopping and duplicate rejection against the plain loop, together and each part alone.

The same edits run in every arm, side by side, so that a busy machine is busy for all. They are the edits that the random policy draws
after the recorded ones of `bench.curves`, whose curves are what the stopping rule knows: the middle of a campaign, not its start.
- plain: every edit is trained to its end, each process in a fresh interpreter.
- zygote, stopping, duplicates: the plain loop with that part alone.
- all: the three together.

CPU seconds are those of all processes that a run starts: training, scorer, two predictors, supervisors. What an arm does not change is not
run twice: a stopped edit is run again under the rule, any other costs what it cost without. Not counted: proposing, planning and judging,
which are the same in all arms.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.curves import draw_edits
from bench.stopping import DATA, read_runs
from graph.features import canonical_digest
from harness.evidence import Evidence
from harness.measure import Runner
from harness.processes import descendants
from harness.sources import open_sources
from harness.stopping import make_rule
from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.snapshot import Snapshot
    from harness.evidence import Curve
    from harness.stopping import StoppingRule
    from harness.values import Outcome

RECORDED = 120  # edits that `bench.curves` draws before
ARMS = ("plain", "zygote", "stopping", "duplicates", "all")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost."""

    cpu_s: float
    wall_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s)


NOTHING = Cost(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one edit."""

    edit: str
    outcome: Outcome  # of the run to its end
    is_stopped: bool
    is_duplicate: bool
    costs: dict[str, Cost]  # by arm


def measure(runner: Runner, snapshot: Snapshot, rule: StoppingRule | None = None) -> tuple[Outcome, Cost]:
    """Run a snapshot on the first seed and say what it cost."""
    start, used_s = time.monotonic(), _tree_cpu_s()
    outcome = runner.run(snapshot, 0, rule=rule)
    return outcome, Cost(_tree_cpu_s() - used_s, time.monotonic() - start)


def first_draws(skipped: int, n: int) -> Iterator[tuple[str, Snapshot, bool]]:
    """Walk the edits after the skipped ones, with whether the program was there before, up to names and layout."""
    sources = open_sources("bytelm")
    seen = {_digest(sources.snapshot)}
    for number, (edit, snapshot) in enumerate(draw_edits(sources, skipped + n, 0)):
        digest = _digest(snapshot)
        if number >= skipped:
            yield edit, snapshot, digest in seen
        seen.add(digest)


def try_edits(draws: Iterator[tuple[str, Snapshot, bool]], file: Path) -> Iterator[Tried]:
    """Run every edit in every arm."""
    baseline, recorded = read_runs(file)
    finished: list[Curve] = [run.curve for run in recorded]
    curves = tuple(run.curve for run in baseline)
    sources = open_sources("bytelm")
    with Runner(sources.trainable, launch="exec") as fresh, Runner(sources.trainable) as forked:
        costliest_s = forked.run(sources.snapshot, 0).cpu_s
        for number, (edit, snapshot, is_duplicate) in enumerate(draws, len(finished) + 1):
            rule = make_rule("median", Evidence(curves, tuple(finished), curves[0], 0, number, costliest_s))
            (outcome, plain), (again, zygote) = measure(fresh, snapshot), measure(forked, snapshot)
            if (again.status, again.metric) != (outcome.status, outcome.metric) and outcome.ok:
                raise click.ClickException(f"{edit}: measured {outcome.metric} and {again.metric}")
            stopped, together = plain, zygote
            marks = [outcome.curve[:n] for n in range(1, len(outcome.curve))]
            is_stopped = rule is not None and any(rule.verdict(curve, again.cpu_s) for curve in marks)
            if is_stopped:
                (_, stopped), (last, together) = measure(fresh, snapshot, rule), measure(forked, snapshot, rule)
                is_stopped = last.status is Status.STOPPED  # an audited run goes on
            costs = (plain, zygote, stopped, NOTHING if is_duplicate else plain, NOTHING if is_duplicate else together)
            finished.append(again.curve)
            yield Tried(edit, outcome, is_stopped, is_duplicate, dict(zip(ARMS, costs, strict=True)))


def report(tried: Sequence[Tried], baseline: float) -> Iterator[str]:
    """Print one line per arm."""
    yield f"{'arm':12}{'CPU s a trial':>14}{'':>9}{'wall s':>9}{'':>9}{'trials/h':>10}"
    totals = {arm: sum((each.costs[arm] for each in tried), NOTHING) for arm in ARMS}
    plain = totals["plain"]
    for arm, total in totals.items():
        cpu, wall = f"{plain.cpu_s / total.cpu_s:.2f} x", f"{plain.wall_s / total.wall_s:.2f} x"
        yield (
            f"{arm:12}{total.cpu_s / len(tried):14.1f}{cpu:>9}{total.wall_s / len(tried):9.1f}{wall:>9}"
            f"{3600 * len(tried) / total.wall_s:10.0f}"
        )
    measured = [each for each in tried if each.outcome.ok]
    stopped = [each for each in measured if each.is_stopped]
    false = sum(each.outcome.metric < baseline for each in stopped)
    left = [each.outcome.metric for each in measured if not each.is_stopped]
    best = min([baseline, *(each.outcome.metric for each in measured)])
    yield f"edits {len(tried)}, measured {len(measured)}, stopped {len(stopped)}, duplicates {sum(t.is_duplicate for t in tried)}"
    yield f"regret {100 * (min([baseline, *left]) / best - 1):.3f} % of the best val_bpb, {best:.4f} (unedited {baseline:.4f})"
    yield f"stopped runs that were better than the unedited target: {false} of {len(stopped)}"


@click.command()
@click.option(
    "--edits", "n_edits", default=30, show_default=True, help="to run in every arm; half a minute each on an idle core"
)
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True, help="recorded curves")
@click.option("--minutes", default=15.0, show_default=True, help="no new edit after so long")
def main(n_edits: int, data: Path, minutes: float) -> None:
    """Print what a trial costs in every arm."""
    baseline, _ = read_runs(data)
    give_up_at = time.monotonic() + 60 * minutes
    tried: list[Tried] = []
    for each in islice(try_edits(first_draws(RECORDED, n_edits), data), n_edits):
        tried.append(each)
        spent = "  ".join(f"{arm} {cost.cpu_s:.1f}/{cost.wall_s:.1f} s" for arm, cost in each.costs.items())
        click.echo(f"{'stopped' if each.is_stopped else each.outcome.status}  {spent}  {each.edit}")
        if time.monotonic() > give_up_at:
            break
    for said in report(tried, baseline[0].metric):
        click.echo(said)


def _tree_cpu_s() -> float:
    """Add up what all processes below this one have used; what was reaped is in those that reaped it."""
    return sum(process.cpu_s for process in descendants(os.getpid()))


def _digest(snapshot: Snapshot) -> str:
    return canonical_digest(snapshot.mutable)


if __name__ == "__main__":
    main()
