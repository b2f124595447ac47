"""How well costs are foreseen on measured landscapes: by what the other ones promise, and after some trials.

    python -m bench.costs
    python -m bench.costs --tune 200

Scripts are taken in a random order; the first ones are the trials, the others are foreseen. `too costly` is beyond COSTLY times the usual
run: of those that were, and of those that were not, the share that is given less than an even chance to be kept. --tune searches the values
of the kernel by TPE: those under which the first scripts of each landscape are least surprising.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from statistics import fmean
from typing import TYPE_CHECKING

import click
import numpy as np
import optuna

from harness.landscape.ground import read_ground
from harness.landscape.model import read_costs
from harness.landscape.store import find_landscape, read_landscape
from harness.pretrain import prior_of_landscapes
from harness.verdict import COSTLY
from policy.catalogue import Catalogue
from policy.costs import NOISE, CostKernel, log_chance
from policy.draw import open_stream
from policy.effects import Experience
from targets.shipped import landscapes_but, shipped_landscapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.traits import Floats, Traits

_LEARNED = (0, 20, 80)  # trials
_N_TUNED, _LEAST = 330, 1e-4  # scripts of a landscape; the smallest value


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What N scripts took, and what was believed of each."""

    doublings: Floats  # (N,)
    mean: Floats
    variance: Floats

    @property
    def surprise(self) -> float:
        """Mean negative log-likelihood, in nats."""
        variance = self.variance + NOISE
        return float(np.mean((self.doublings - self.mean) ** 2 / variance + np.log(2 * math.pi * variance)) / 2)

    def __str__(self) -> str:
        refused = log_chance(self.mean, self.variance, math.log2(COSTLY)) < math.log(0.5)
        costly = self.doublings > math.log2(COSTLY)
        error = math.sqrt(np.mean((self.doublings - self.mean) ** 2))
        return (
            f"correlation {np.corrcoef(self.doublings, self.mean)[0, 1]:.2f}  error {error:.2f}  sd {self.doublings.std():.2f}  "
            f"too costly {refused[costly].sum()} of {costly.sum()}, wrongly {refused[~costly].sum()} of {(~costly).sum()}"
        )


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts of a landscape that cost something, in a random order."""

    traits: tuple[Traits, ...]
    doublings: Floats

    def foresee(self, n_learned: int, kernel: CostKernel) -> Foreseen:
        """Learn from the first ones, and say what is believed of the others."""
        experience = Experience()
        for script, doublings in zip(self.traits[:n_learned], self.doublings, strict=False):
            experience.add(script, float(doublings), (NOISE, NOISE))
        effects = experience.fit(kernel)
        joints = [effects.foresee(script) for script in self.traits[n_learned:]]
        mean, variance = (
            np.array([part.sum() for part in parts])
            for parts in zip(*((j.mean, j.covariance) for j in joints), strict=True)
        )
        return Foreseen(self.doublings[n_learned:], mean, np.maximum(variance, 0.0))


def open_scripts(name: str) -> Scripts:
    """Read a landscape, with what the other ones promise."""
    table, _ = read_landscape(find_landscape(name))
    ground, costs = read_ground(table.provenance.target), read_costs(table)
    known = {edit.address: edit for edit in ground.edits}
    catalogue = Catalogue(ground.graph, prior_of_landscapes(landscapes_but(name)))
    scripts = sorted(script for script in costs if script and known.keys() >= {*script})
    open_stream(0, "costs", 0).shuffle(scripts)
    return Scripts(
        tuple(catalogue.describe([known[address] for address in script]) for script in scripts),
        np.array([costs[script] for script in scripts]),
    )


def tune(landscapes: Sequence[Scripts], n_trials: int) -> CostKernel:
    """Return the kernel under which the costs of scripts are least surprising."""
    names = [field.name for field in fields(CostKernel) if not field.name.startswith("mean")]
    few = [Scripts(each.traits[:_N_TUNED], each.doublings[:_N_TUNED]) for each in landscapes]

    def surprise(trial: optuna.Trial) -> float:
        kernel = CostKernel(**{name: trial.suggest_float(name, _LEAST, 2.0, log=True) for name in names})
        return fmean(each.foresee(n_learned, kernel).surprise for each in few for n_learned in _LEARNED)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, multivariate=True))
    study.enqueue_trial({name: getattr(CostKernel(), name) for name in names})
    study.optimize(surprise, n_trials=n_trials)
    click.echo(f"surprise {study.trials[0].value:.3f} -> {study.best_value:.3f} nats")
    return CostKernel(**study.best_params)


@click.command()
@click.option("--tune", "n_trials", default=0, help="settings of the kernel to try")
def main(n_trials: int) -> None:
    """Print how well costs are foreseen."""
    landscapes = {name: open_scripts(name) for name in shipped_landscapes()}
    kernel = tune([*landscapes.values()], n_trials) if n_trials else CostKernel()
    click.echo(kernel)
    for name, scripts in landscapes.items():
        for n_learned in _LEARNED:
            click.echo(f"{name:8} after {n_learned:3} trials: {scripts.foresee(n_learned, kernel)}")


if __name__ == "__main__":
    main()
