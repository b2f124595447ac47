"""How well costs are foreseen on measured landscapes: by what the other ones promise, and after some trials.

    python -m bench.costs

Scripts are taken in a random order; the first ones are the trials, the others are foreseen. `too costly` is beyond COSTLY times the usual
run: of those that were, and of those that were not, the share that is given less than an even chance to be kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np

from harness.landscape.ground import read_ground
from harness.landscape.model import read_costs
from harness.landscape.store import find_landscape, read_landscape
from harness.pretrain import prior_of_landscapes
from harness.verdict import COSTLY
from policy.catalogue import Catalogue
from policy.costs import NOISE, CostKernel, log_chance
from policy.draw import open_stream
from policy.effects import Experience
from targets.shipped import shipped_landscapes

if TYPE_CHECKING:
    from policy.traits import Floats, Traits

_LEARNED = (0, 20, 80)  # trials


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
            experience.note(script, float(doublings), NOISE)
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
    catalogue = Catalogue(ground.graph, prior_of_landscapes(tuple({*shipped_landscapes()} - {name})))
    scripts = sorted(script for script in costs if script and known.keys() >= {*script})
    open_stream(0, "costs", 0).shuffle(scripts)
    return Scripts(
        tuple(catalogue.describe([known[address] for address in script]) for script in scripts),
        np.array([costs[script] for script in scripts]),
    )


@click.command()
def main() -> None:
    """Print how well costs are foreseen."""
    for name in shipped_landscapes():
        scripts = open_scripts(name)
        for n_learned in _LEARNED:
            click.echo(f"{name:8} after {n_learned:3} trials: {scripts.foresee(n_learned, CostKernel())}")


if __name__ == "__main__":
    main()
