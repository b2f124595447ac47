"""Tune the kernel of policy.effects on synthetic tasks: with which one are good edits found soon?

    python -m bench.tune_kernel --trials 200

A task is a synthetic landscape of a family of its own. A kernel proposes 100 single edits, one after the other, each by expected
improvement after what the others measured, without parents, verdicts and scripts. It is judged by the three best edits at different sites
that it has tried after 25, 50 and 100, by what they truly gain, as a share of what the three best of all gain. TPE searches the values and
the margin; the winner and the defaults then meet families that the search has not seen, and so does a pick at random.

A kernel that makes measurements likeliest is another question, with a worse answer here: few edits gain much, and those decide.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click
import numpy as np
import optuna

from harness.landscape.ground import read_ground
from harness.landscape.synthetic import Family, generate
from mutator.shipped import default_grammar
from policy.catalogue import Catalogue
from policy.effects import Experience, bend, log_expected_improvement, read_gain
from policy.kernel import VARIANCES, Kernel
from policy.options import MARGIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.landscape.ground import Ground
    from harness.landscape.synthetic import Synthetic

    Floats = np.ndarray

SEARCHED, HELD_OUT = 9100, 9200  # seeds of the first families; the benchmark's are small
_KINDS = tuple((rho, noise) for rho in (0.0, 0.4, 0.7) for noise in (0.5, 1.0))
_VARIANCES = (*VARIANCES, "noise")
_AFTER = (25, 50, 100)
_N_BEST = 3
_NOISE = 4 / 3  # variance of a run beside three of the unedited target


@dataclass(frozen=True, eq=False)
class Task:
    """What is true of the M edits of a task that change something."""

    ground: Ground
    rows: Floats  # (M,) of the ground's edits
    gains: Floats  # (M,) in sd, NaN where it crashes
    seed: int

    @classmethod
    def of(cls, landscape: Synthetic, seed: int) -> Task:
        """Read a landscape."""
        rows = np.flatnonzero(~landscape.ground.inert)
        gains = np.where(np.diagonal(landscape.crashing), np.nan, landscape.effects / landscape.sd)
        return cls(landscape.ground, rows, gains[rows], seed)

    def worth(self, picked: Sequence[int]) -> float:
        """Return what the best picked edits at different sites gain, as a share of the best of all."""
        return self._best(picked) / self._best(range(len(self.rows)))

    def _best(self, picked: Sequence[int]) -> float:
        of_site: dict[int, float] = {}
        for row in picked:
            site, gain = int(self.ground.sites[self.rows[row]]), self.gains[row]
            of_site[site] = max(of_site.get(site, 0.0), bend(gain) if gain > 0 else 0.0)
        return sum(sorted(of_site.values())[-_N_BEST:])


@click.command()
@click.option("--trials", default=200, show_default=True)
@click.option("--each", default=4, show_default=True, help="Families for each of six shares and noises.")
def main(trials: int, each: int) -> None:
    """Print the best kernel, and how it, the defaults and chance do on other families."""
    ground = read_ground("bytelm")
    searched, held_out = (_draw(ground, first, each) for first in (SEARCHED, HELD_OUT))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, n_startup_trials=30)
    )
    names = (*_VARIANCES, "length", "mean", "mean_bow")
    study.enqueue_trial({name: getattr(Kernel(), name) for name in names} | {"margin": MARGIN})
    began_s = time.process_time()
    study.optimize(lambda trial: float(np.mean(judge(searched, *_suggest(trial)))), n_trials=trials)
    kernel, margin = _suggest(optuna.trial.FixedTrial(study.best_params))
    click.echo(f"{study.trials[0].value:.3f} -> {study.best_value:.3f}, {time.process_time() - began_s:.0f} s CPU")
    click.echo(f"margin {margin:.2f}  {kernel}")
    for name, of in (("found", (kernel, margin)), ("defaults", (Kernel(), MARGIN)), ("random", (None, 0.0))):
        click.echo(f"{name:9s} on other families  {' '.join(f'{share:.3f}' for share in judge(held_out, *of))}")


def judge(tasks: Sequence[Task], kernel: Kernel | None, margin: float) -> Floats:
    """Return the mean share after each number of trials; without a kernel edits are picked by the priors of their kinds."""
    return np.mean([search(task, kernel, margin) for task in tasks], 0)


def search(task: Task, kernel: Kernel | None, margin: float) -> list[float]:
    """Return the share that is found after each number of trials."""
    stream, edits = np.random.default_rng(task.seed), [task.ground.edits[row] for row in task.rows]
    log_prior = np.log([default_grammar().priors.get(edit.kind, 1.0) for edit in edits])
    catalogue, experience, picked, found = Catalogue(task.ground.graph, None), Experience(), [], []
    for number in range(1, max(_AFTER) + 1):
        promise = stream.gumbel(size=len(edits)) if kernel is None else np.zeros(len(edits))
        if kernel is not None:
            mean, deviation = catalogue.believe(experience.fit(kernel), edits)
            promise = log_expected_improvement(mean - margin, deviation)
        promise[picked] = -np.inf
        row = int((promise + log_prior).argmax())
        picked.append(row)
        measured = task.gains[row] + _NOISE**0.5 * stream.standard_normal()
        experience.add(catalogue.describe([edits[row]]), *read_gain(measured, (_NOISE, _NOISE)))
        if number in _AFTER:
            found.append(task.worth(picked))
    return found


def _draw(ground: Ground, first: int, n: int) -> list[Task]:
    families = [Family(first + n * i + j, *kind) for i, kind in enumerate(_KINDS) for j in range(n)]
    return [Task.of(generate(ground, family, 0), family.seed) for family in families]


def _suggest(trial: optuna.Trial | optuna.trial.FixedTrial) -> tuple[Kernel, float]:
    values = {name: trial.suggest_float(name, 0.01, 1.0, log=True) for name in _VARIANCES}
    values["length"] = trial.suggest_float("length", 0.3, 2.0, log=True)
    values["mean"], values["mean_bow"] = (
        trial.suggest_float("mean", -1.2, 0.2),
        trial.suggest_float("mean_bow", -0.6, 0),
    )
    return replace(Kernel(), **values), trial.suggest_float("margin", 0.0, 1.5)


if __name__ == "__main__":
    main()
