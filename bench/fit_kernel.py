"""Fit the kernel of policy.effects to synthetic tasks, so that no real target has a say in it.

`python -m bench.fit_kernel` takes seconds and prints the values that make the single edits of four tasks likeliest, each measured once.
"""

from __future__ import annotations

from dataclasses import asdict

import click
import numpy as np

from harness.landscape.ground import read_ground
from harness.landscape.synthetic import Family, invent_effects
from policy.fit import Measured, fit_kernel
from policy.traits import describe

FAMILY = 81
_SHARES = ((0.0, 0.5), (0.4, 0.5), (0.7, 1.0), (0.4, 1.0))  # rho and noise
_FIRST_TASK, _SIZE, _STEPS = 6000, 180, 150


def main() -> None:
    """Print the kernel."""
    ground, stream = read_ground("bytelm"), np.random.default_rng(0)
    live, tasks = np.flatnonzero(~ground.inert), []
    for number, (rho, noise) in enumerate(_SHARES):
        gains = invent_effects(ground, Family(FAMILY, rho, noise), _FIRST_TASK + number)
        rows = stream.permutation(live)[:_SIZE]
        traits = describe(ground.graph, [ground.edits[row] for row in rows])
        tasks.append(Measured(traits, gains[rows] + stream.standard_normal(len(rows)), np.ones(len(rows))))
    kernel, surprise = fit_kernel(tasks, n_steps=_STEPS)
    click.echo("\n".join(f"{name:12s} {value:.2f}" for name, value in asdict(kernel).items()))
    click.echo(f"nats per measurement: {surprise:.3f}")


if __name__ == "__main__":
    main()
