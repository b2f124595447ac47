"""Compare stopping rules on recorded trainings: what each saves, what it costs, and how often it stops what would have won.

`bench/data/bytelm-curves.jsonl` holds real trainings of bytelm that ran to their end (`bench.curves` made it). A simulated campaign takes
them in a random order, stops what its rule would have stopped from the curves that finished before, and never learns what a stopped run
would have measured. Two kinds of campaign: in a *round* every run is compared with the unedited target that it was made on; in a *climb*
the best run so far becomes the incumbent, which is harder on what comes after than a real campaign, whose edits are made on the better
program. A stop is *false* when the run was better than the incumbent of its time, by however little.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

import click

from harness.evidence import Evidence
from harness.meter import N_MARKS, WARM_UP
from harness.stopping import GRACE_SD, behind_median, behind_rung, has_failed, margins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.evidence import Curve

DATA = Path(__file__).parent / "data" / "bytelm-curves.jsonl"
_WINDOW = 2  # trials under way at once: their curves are not known yet
_HUGE = 1e9  # standard deviations


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded training."""

    edit: str
    seed: int
    metric: float  # less is better; infinite where there is none
    curve: Curve


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule under comparison."""

    name: str
    compare: Callable[[Curve, Evidence], str]
    grace_sd: float = GRACE_SD

    def stop(self, curve: Curve, evidence: Evidence, spared: Curve) -> int:
        """Return after how many marks the run is stopped; N_MARKS when it is not. spared: the curve that is near enough."""
        for n in range(1, N_MARKS):
            marks = curve[:n]
            if has_failed(marks):
                return n
            if n >= WARM_UP and marks[-1] > spared[n - 1] and self.compare(marks, evidence):
                return n
        return N_MARKS


@dataclass(frozen=True, slots=True)
class Cost:
    """What one campaign paid and lost."""

    compute: float  # of the trainings, share
    regret: float  # of the best metric, share
    n_stopped: int
    n_false: int  # of the stopped: would have been better than the incumbent of their time
    n_winners: int  # runs better than the incumbent of their time, stopped or not
    is_best_stopped: bool


def never(curve: Curve, evidence: Evidence) -> str:
    """Compare nothing."""
    return ""


def always(curve: Curve, evidence: Evidence) -> str:
    """Leave it to the grace: what is farther behind the incumbent is stopped."""
    return "behind"


POLICIES = (
    Policy("none (what has failed)", never),
    Policy("median, no grace", behind_median, -_HUGE),
    *(Policy(f"median, grace {grace:g} sd", behind_median, grace) for grace in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)),
    *(Policy(f"incumbent, grace {grace:g} sd", always, grace) for grace in (1.0, 2.0, 3.0, 4.0)),
    Policy("asha, no grace", behind_rung, -_HUGE),
    Policy(f"asha, grace {GRACE_SD:g} sd", behind_rung),
)


def read_runs(file: Path) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Read the replicates of the unedited target and the edited runs that hinted; others end by themselves, whatever the rule."""
    runs = [
        Run(row["edit"], row["seed"], math.inf if row["status"] != "ok" else row["metric"], tuple(row["curve"]))
        for row in map(json.loads, file.read_text().splitlines()[1:])  # the first line says where they come from
    ]
    return tuple(run for run in runs if not run.edit), tuple(run for run in runs if run.edit and run.curve)


def simulate(policy: Policy, baseline: Sequence[Run], order: Sequence[Run], *, climbs: bool) -> Cost:
    """Run one campaign over the order."""
    incumbent = baseline[0]
    replicates = tuple(run.curve for run in baseline)
    finished: list[Curve] = []
    spent, best, stopped, n_false, n_winners = 0, incumbent.metric, list[Run](), 0, 0
    spared = _spared(policy, replicates, incumbent)
    for index, run in enumerate(order):
        known = tuple(finished[: max(0, index - _WINDOW)])
        at = policy.stop(run.curve, Evidence(replicates, known, incumbent.curve, 0, index), spared)
        finished.append(run.curve[:at])
        spent += at
        n_winners += run.metric < incumbent.metric
        if at < N_MARKS:
            stopped.append(run)
            n_false += run.metric < incumbent.metric
            continue
        best = min(best, run.metric)
        if climbs and run.metric < incumbent.metric:
            incumbent = run
            spared = _spared(policy, replicates, incumbent)
    top = min((*order, baseline[0]), key=lambda run: run.metric)
    return Cost(
        spent / (N_MARKS * len(order)),
        (best - top.metric) / abs(top.metric),
        len(stopped),
        n_false,
        n_winners,
        top in stopped,
    )


def _spared(policy: Policy, replicates: tuple[Curve, ...], incumbent: Run) -> Curve:
    room = margins(Evidence(replicates, (), incumbent.curve, 0, 0), grace_sd=max(policy.grace_sd, 0.0))
    return tuple(
        -math.inf if policy.grace_sd < 0 else mark + each for mark, each in zip(incumbent.curve, room, strict=True)
    )


def line(policy: Policy, costs: Sequence[Cost]) -> str:
    """Print what a rule costs on average."""
    compute, regret = fmean(cost.compute for cost in costs), fmean(cost.regret for cost in costs)
    stopped, false = sum(cost.n_stopped for cost in costs), sum(cost.n_false for cost in costs)
    of_stopped = 100 * false / stopped if stopped else 0.0
    of_winners = 100 * false / max(1, sum(cost.n_winners for cost in costs))
    worst = max(cost.regret for cost in costs)
    lost = fmean(cost.is_best_stopped for cost in costs)
    return (
        f"{policy.name:26}{100 * compute:8.1f} %{1 / compute:7.2f} x{100 * regret:9.3f} %{100 * worst:8.2f} %{100 * lost:8.1f} %"
        f"{of_stopped:9.1f} %{of_winners:9.1f} %"
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=DATA)
@click.option("--campaigns", default=200, show_default=True, help="random orders")
@click.option("--trials", default=60, show_default=True, help="per campaign")
@click.option("--replicates", default=3, show_default=True, help="of the unedited target that a campaign knows")
@click.option("--seed", default=0, show_default=True)
def main(file: Path, campaigns: int, trials: int, replicates: int, seed: int) -> None:
    """Print one line per rule, for rounds and for climbs."""
    baseline, runs = read_runs(file)
    baseline = baseline[:replicates]
    orders = [Random(f"{seed}/{n}").sample(runs, min(trials, len(runs))) for n in range(campaigns)]
    head = f"{'rule':26}{'compute':>10}{'speed':>9}{'regret':>11}{'worst':>10}{'best lost':>10}{'false':>11}{'of winners':>11}"
    for climbs in (False, True):
        kind = "climbs" if climbs else "rounds"
        click.echo(f"\n{campaigns} {kind} of {len(orders[0])} runs of {file.name}\n{head}")
        for policy in POLICIES:
            click.echo(line(policy, [simulate(policy, baseline, order, climbs=climbs) for order in orders]))


if __name__ == "__main__":
    main()
