"""Tune the baselines on synthetic landscapes, by Optuna's TPE over their hyper-parameters: how much better could each be?

A comparison is worth what its baselines are. Each one's defaults are tried first; then the search has its trials; then defaults and winner
play tasks that neither the search nor the benchmark sees, and what the winner gains there is what was left on the table.

    python -m bench.tune_baselines evolution bandit --trials 200 --tasks 12 --walk 100

Not covered: the values that the policies share (the campaign's own: replicates, verdicts), and the policy that learns.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from harness.landscape.ground import read_ground
from harness.landscape.synthetic import Family, generate
from harness.landscape.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optuna import Trial

    from harness.landscape.ground import Ground
    from harness.landscape.synthetic import Synthetic
    from policy.protocol import Policy

SEARCHED, HELD_OUT = 9001, 9002  # seeds of families; the benchmark's are small
_TARGET = "bytelm"
_KINDS = ((0.0, 0.5), (0.4, 0.5), (0.7, 0.5), (0.4, 1.0))  # rho and noise of the tasks, in turn


@dataclass(frozen=True, slots=True)
class Space:
    """A baseline: its defaults, how to draw others, how to make it."""

    defaults: dict[str, Any]
    suggest: Callable[[Trial], dict[str, Any]]
    make: Callable[..., Policy]


def main() -> None:
    """Tune the baselines that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(_SPACES))
    parser.add_argument("--trials", type=int, default=200, help="of the search over hyper-parameters")
    parser.add_argument("--tasks", type=int, default=12, help="landscapes that a setting is tried on")
    parser.add_argument("--held-out", type=int, default=24, help="landscapes that defaults and winner are compared on")
    parser.add_argument("--walk", type=int, default=100, help="trials of a campaign")
    asked = parser.parse_args()
    ground = read_ground(_TARGET)
    searched, held_out = (_draw(ground, *each) for each in ((SEARCHED, asked.tasks), (HELD_OUT, asked.held_out)))
    for name in asked.names:
        _tune(name, searched, held_out, n_trials=asked.trials, n_steps=asked.walk)


def _draw(ground: Ground, seed: int, n: int) -> list[Synthetic]:
    return [generate(ground, Family(seed, *_KINDS[task % len(_KINDS)]), task) for task in range(n)]


def _tune(
    name: str, searched: Sequence[Synthetic], held_out: Sequence[Synthetic], *, n_trials: int, n_steps: int
) -> None:
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, began_s = _SPACES[name](), time.process_time()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(space.defaults)

    def objective(trial: Trial) -> float:
        return float(_play(space, space.suggest(trial), searched, n_steps).mean())

    study.optimize(objective, n_trials=n_trials)
    default, tuned = (_play(space, each, held_out, n_steps) for each in (space.defaults, study.best_params))
    gain, error = (tuned - default).mean(), (tuned - default).std(ddof=1) / len(held_out) ** 0.5
    click.echo(
        f"{name}: searched {study.trials[0].value:.3f} -> {study.best_value:.3f}; "
        f"held out {default.mean():.3f} -> {tuned.mean():.3f}, {gain:+.3f} +- {error:.3f} "
        f"({time.process_time() - began_s:.0f} s CPU)\n  {study.best_params}"
    )


def _play(space: Space, chosen: dict[str, Any], tasks: Sequence[Synthetic], n_steps: int) -> np.ndarray:
    """Return the share gained on each task, the mean of half way and the end."""
    gains = [walk(task, space.make(i, **chosen), seed=i, n_trials=n_steps).gains for i, task in enumerate(tasks)]
    return np.array([(each[n_steps // 2 - 1] + each[-1]) / 2 for each in gains])


def _local() -> Space:
    from policy.local import EXPLORATION, LocalPolicy  # noqa: PLC0415

    return Space(
        {"exploration": EXPLORATION},
        lambda trial: {"exploration": trial.suggest_float("exploration", 0.0, 1.0)},
        LocalPolicy,
    )


def _evolution() -> Space:
    from policy.evolution import DROP, POPULATION, TOURNAMENT, EvolutionPolicy  # noqa: PLC0415

    def suggest(trial: Trial) -> dict[str, Any]:
        return {
            "population": trial.suggest_int("population", 3, 60, log=True),
            "tournament": trial.suggest_int("tournament", 1, 40, log=True),
            "drop": trial.suggest_float("drop", 0.0, 0.5),
        }

    return Space({"population": POPULATION, "tournament": TOURNAMENT, "drop": DROP}, suggest, EvolutionPolicy)


def _bandit() -> Space:
    from policy.bandit import BY_ROLE, STRENGTH, WIDTH, BanditPolicy  # noqa: PLC0415

    def suggest(trial: Trial) -> dict[str, Any]:
        return {
            "width": trial.suggest_float("width", 0.05, 3.0, log=True),
            "strength": trial.suggest_float("strength", 0.2, 5.0, log=True),
            "by_role": trial.suggest_categorical("by_role", [True, False]),
        }

    return Space({"width": WIDTH, "strength": STRENGTH, "by_role": BY_ROLE}, suggest, BanditPolicy)


def _tpe() -> Space:
    from policy.tpe import MOST_STARTUP, N_CANDIDATES, N_STARTUP, TpePolicy  # noqa: PLC0415

    def suggest(trial: Trial) -> dict[str, Any]:
        return {
            "n_startup": trial.suggest_int("n_startup", 1, 50, log=True),
            "most_startup": trial.suggest_int("most_startup", 1, 6),
            "n_candidates": trial.suggest_int("n_candidates", 8, 256, log=True),
        }

    return Space(
        {"n_startup": N_STARTUP, "most_startup": MOST_STARTUP, "n_candidates": N_CANDIDATES}, suggest, TpePolicy
    )


def _gp() -> Space:
    from policy.gp import GpPolicy, Tuning  # noqa: PLC0415
    from policy.kernel import Kernel  # noqa: PLC0415

    shared = ("kind", "site", "place", "content", "kind_content", "edit", "slope", "bow")

    def suggest(trial: Trial) -> dict[str, Any]:
        variances = {name: trial.suggest_float(name, 0.01, 2.0, log=True) for name in shared}
        return {
            "n_parents": trial.suggest_int("n_parents", 1, 5),
            "mean": trial.suggest_float("mean", -1.5, 0.0),
            **variances,
        }

    def make(seed: int, n_parents: int, **kernel: float) -> GpPolicy:
        return GpPolicy(seed, Tuning(n_parents, Kernel(**kernel)))

    defaults = {name: getattr(Kernel(), name) for name in ("mean", *shared)}
    return Space({"n_parents": Tuning().n_parents, **defaults}, suggest, make)


_SPACES = {"local": _local, "evolution": _evolution, "bandit": _bandit, "tpe": _tpe, "gp": _gp}

if __name__ == "__main__":
    main()
