"""Policies on a target that really trains: a campaign per policy and seed, each judged by its own last evaluation.

A campaign is what `codegraft search` makes in a folder of its own, so that what was interrupted goes on and what is there is not run again.
It is worth what its incumbent gains over the unedited target on seeds that selected nothing, on the final test where there is one; nothing
where nothing was kept. No share of what can be gained: nobody knows that.

`ppo` starts from the checkpoint that ships, with what all landscapes but the target's own promise.
"""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from harness.benchmark.rows import add_rows, known_rows
from harness.benchmark.statistics import estimate, mean, ratio
from harness.benchmark.table import rows_of
from harness.conclude import evaluation
from harness.ledger import read_record
from harness.values import TrialError
from policy.make import SHIPPED
from targets.shipped import landscapes_but

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from harness.benchmark.rows import Key
    from harness.record import Record
    from targets.manifest import Target

_EARLY = (10, 25, 50)  # trials
_COMMAND = (sys.executable, "-c", "from harness.cli import main; main()", "search")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which campaigns there are to be."""

    policies: Sequence[str]
    n_seeds: int
    n_trials: int
    reference: str  # whom the others are compared with
    n_together: int  # campaigns at the same time, each with one run at a time
    folder: Path


@dataclass(frozen=True, slots=True)
class Searched:
    """A campaign that ended: a row of results.jsonl."""

    target: str
    policy: str
    seed: int
    n_trials: int
    gain: float  # in the metric's unit, on fresh seeds; 0 where nothing was kept
    n_kept: int
    n_runs: int  # of trials, with confirmations
    cpu_s: float  # of these
    kept: tuple[tuple[int, float], ...] = ()  # trials, with what each was found to gain over the incumbent before

    def accepted(self, n_trials: int) -> float:
        """Return what the verdicts had accepted after so many trials, in the metric's unit; NaN where the row does not say."""
        if len(self.kept) < self.n_kept:
            return math.nan
        return math.fsum(gain for number, gain in self.kept if number <= n_trials)

    @property
    def key(self) -> Key:
        """Which campaign it was."""
        return self.target, self.policy, self.seed, self.n_trials


def compare_on(target: Target, plan: Plan, announce: Callable[[str], None]) -> None:
    """Run the campaigns that results.jsonl does not know, add them to it, and write table.md.

    Raises: TrialError: a campaign failed, or a line of results.jsonl is none of these.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    path = plan.folder / "results.jsonl"
    keys = [(target.name, policy, seed, plan.n_trials) for seed in range(plan.n_seeds) for policy in plan.policies]
    known = known_rows(path, Searched, keys)
    for each in known.values():
        announce(_line_of(each))
    missing = [key for key in keys if key not in known]
    learns = any(policy == "ppo" for _, policy, _, _ in missing)
    started_from = {"ppo": _learned_elsewhere(target, plan.folder)} if learns else {}

    def search(key: Key) -> Searched:
        _, policy, seed, _ = key
        return _search(target, plan, policy, seed, checkpoint=started_from.get(policy))

    with ThreadPoolExecutor(plan.n_together) as pool:
        for each in add_rows(path, pool.map(search, missing)):
            known[each.key] = each
            announce(_line_of(each))
    page = "\n".join(table_of(target.metric, [known[key] for key in keys], plan.reference)) + "\n"
    (plan.folder / "table.md").write_text(page)
    announce(page)


def _line_of(each: Searched) -> str:
    return f"{each.policy}  seed {each.seed}  {each.gain:+.4g}  {each.n_kept} kept"


def table_of(metric: str, found: Sequence[Searched], reference: str) -> Iterator[str]:
    """Write a table in Markdown of campaigns of one length, the same seeds of each policy in the same order."""
    policies = dict.fromkeys(each.policy for each in found)
    gains = {name: np.array([[each.gain for each in found if each.policy == name]]) for name in policies}
    early = [n for n in _EARLY if n < found[0].n_trials]
    head = ["policy", *(f"accepted after {n}" for n in early), f"gain in {metric} after {found[0].n_trials} trials"]
    rows = []
    for name, each in gains.items():
        final = str(estimate(each, mean)), str(ratio(each, gains[reference]))
        rows.append([name, *_accepted(found, name, early), *final, *_spent(found, name)])
    return rows_of([*head, f"times {reference}", "kept something", "runs", "CPU hours"], rows)


def _accepted(found: Sequence[Searched], policy: str, early: Sequence[int]) -> Iterator[str]:
    of = [each for each in found if each.policy == policy]
    for n in early:
        accepted = fmean(each.accepted(n) for each in of)
        yield "?" if math.isnan(accepted) else f"{accepted:.3f}"


def _spent(found: Sequence[Searched], policy: str) -> Iterator[str]:
    of = [each for each in found if each.policy == policy]
    yield f"{sum(each.n_kept > 0 for each in of)} of {len(of)}"
    yield f"{np.mean([each.n_runs for each in of]):.0f}"
    yield f"{np.mean([each.cpu_s for each in of]) / 3600:.2f}"


def _learned_elsewhere(target: Target, folder: Path) -> Path:
    """Write the checkpoint that ships with what all other targets promise, and return its path."""
    from harness.pretrain import Plan as Schooling  # noqa: PLC0415 - brings torch
    from harness.pretrain import pretrain  # noqa: PLC0415

    path = folder / f"ppo-without-{target.name}.safetensors"
    plan = Schooling(landscapes_but(target.name), start=str(SHIPPED), n_walks=0, n_rounds=0)
    pretrain(plan, lambda _: None).save(path)
    return path


def _search(target: Target, plan: Plan, policy: str, seed: int, *, checkpoint: Path | None) -> Searched:
    place = plan.folder / f"{target.name}-{policy.replace('/', '_')}-{plan.n_trials}-{seed}"
    options = ["--policy", policy, "--seed", str(seed), "--trials", str(plan.n_trials), "--slots", "1"]
    options += ["--checkpoint", str(checkpoint)] if checkpoint else []
    command = [*_COMMAND, str(target.root_dir), *options, "--out", str(place)]
    if code := subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise TrialError(f"{place}: its campaign ended with exit code {code}; see above, then the same command goes on")
    record = read_record(place)
    runs = [outcome for trial in record.trials for outcome in trial.outcomes if outcome.cpu_s]
    kept = tuple((trial.number, trial.verdict.gain) for trial in record.kept)
    spent = len(kept), len(runs), round(sum(outcome.cpu_s for outcome in runs), 1)
    return Searched(target.name, policy, seed, plan.n_trials, gain_of(record), *spent, kept)


def gain_of(record: Record) -> float:
    """Return what a campaign's last evaluation found: positive when better, 0 when nothing was kept."""
    found = evaluation(record)
    effect = (found.test or found.fresh) if found is not None else None
    return effect.mean if effect is not None else 0.0
