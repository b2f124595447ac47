"""Tune the numbers of a shipped target by TPE: how much of its headroom is a matter of numbers that its author could have tuned.

    python -m bench.tune TARGET --trials 200

The numbers are the fields of its config.py. Each may be a quarter to four times what it is (a fraction stays below 1), on a grid of
half powers of two, the baseline in the middle and tried first. Every trial is one run on seed 0, and what costs too much CPU time ever
to be kept by a campaign is worth nothing. Then the best three run on seeds that selected nothing, beside the baseline, and that is what
is reported: the best of 200 noisy runs looks better than it is. It is `numbers` in `[measured]` of the manifest: a baseline is honest
where they gain little of the headroom.
"""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import click
import optuna

from harness.measure import Runner
from harness.sources import open_sources
from harness.verdict import costly_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.values import Outcome
    from targets.manifest import Target

CONFIG = "config.py"
FACTORS = tuple(2 ** (power / 2) for power in range(-4, 5))
_ZERO = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5)  # instead of what is 0
_FRESH = range(100, 105)
_N_SLOTS = 2
_WORTHLESS = 1e6


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the configuration: where it stands, and what may stand there instead."""

    name: str
    start: int  # bytes
    end: int
    options: tuple[float, ...]

    @property
    def middle(self) -> int:
        """The option that stands there."""
        return 0 if self.options == _ZERO else len(FACTORS) // 2


def read_numbers(source: bytes) -> Iterator[Number]:
    """Walk the numbers that the fields of dataclasses have as defaults."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for owner in ast.walk(ast.parse(source)):
        for field in owner.body if isinstance(owner, ast.ClassDef) else ():
            match field:
                case ast.AnnAssign(
                    target=ast.Name(id=name), value=ast.Constant(value=int() | float() as value) as node
                ):
                    if not isinstance(value, bool):
                        at = lines[node.lineno - 1]
                        yield Number(name, at + node.col_offset, at + (node.end_col_offset or 0), options_of(value))


def options_of(value: float) -> tuple[float, ...]:
    """Return what may stand for a number, in order; what it is stands in the middle, or first where it is 0."""
    if value == 0:
        return _ZERO
    if isinstance(value, int):
        return tuple(max(1, round(value * factor)) for factor in FACTORS)
    if 0.5 <= value < 1:  # a coefficient such as beta: what it lacks of 1 is scaled
        return tuple(1 - min(0.999, (1 - value) / factor) for factor in FACTORS)
    return tuple(min(value * factor, 0.9) if value < 1 else value * factor for factor in FACTORS)


def write(source: bytes, numbers: Sequence[Number], chosen: Mapping[str, int]) -> bytes:
    """Put the chosen options, by index, in the place of the numbers; what is not changed keeps its bytes."""
    for number in sorted(numbers, key=lambda each: -each.start):
        if (index := chosen[number.name]) != number.middle:
            source = source[: number.start] + f"{number.options[index]:.4g}".encode() + source[number.end :]
    return source


@click.command()
@click.argument("target")
@click.option("--trials", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True, help="of the sampler")
def main(target: str, trials: int, seed: int) -> None:
    """Print the best numbers that TPE finds, and what they measure on fresh seeds beside the baseline."""
    sources = open_sources(target)
    source = sources.snapshot.files[CONFIG]
    numbers = tuple(read_numbers(source))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True))
    study.enqueue_trial({number.name: number.middle for number in numbers})
    with Runner(sources.trainable, n_slots=_N_SLOTS) as free, ThreadPoolExecutor(_N_SLOTS) as pool:

        def measure(runner: Runner, chosen: Mapping[str, int], run_seed: int) -> Outcome:
            snapshot = sources.snapshot.with_files({CONFIG: write(source, numbers, chosen)}, edit="tuned")
            return runner.run(snapshot, run_seed)

        def loss_of(outcome: Outcome) -> float:
            return min(-sources.trainable.sign * outcome.metric, _WORTHLESS) if outcome.ok else _WORTHLESS

        limit_s = costly_s(free.run(sources.snapshot, 0).cpu_s)
        with Runner(_within(sources.trainable, limit_s), n_slots=_N_SLOTS) as limited:
            for _ in range(0, trials, _N_SLOTS):
                asked = [study.ask() for _ in range(_N_SLOTS)]
                chosen = [
                    {n.name: trial.suggest_int(n.name, 0, len(n.options) - 1) for n in numbers} for trial in asked
                ]
                outcomes = pool.map(lambda each: measure(limited, each, 0), chosen)
                for trial, outcome in zip(asked, outcomes, strict=True):
                    study.tell(trial, loss_of(outcome))
        best = sorted(study.trials, key=lambda trial: trial.value or 0.0)[:3]
        middle = {number.name: number.middle for number in numbers}
        for name, params in [("baseline", middle), *((f"trial {trial.number}", trial.params) for trial in best)]:
            fresh = list(pool.map(lambda each: measure(free, params, each), _FRESH))  # noqa: B023 - used before it changes
            click.echo(f"{name:10} {_mean_text(fresh)}  {_changes(numbers, params)}")


def _within(target: Target, cpu_s: float) -> Target:
    """Return a target whose trainings are ended after so much CPU time."""
    return target.model_copy(update={"limits": target.limits.model_copy(update={"cpu_s": cpu_s})})


def _mean_text(outcomes: Sequence[Outcome]) -> str:
    mean = fmean(outcome.metric for outcome in outcomes)  # NaN where a run failed
    return (
        f"{mean:.4f} on {len(outcomes)} fresh seeds, {fmean(outcome.cpu_s for outcome in outcomes):.1f} s of CPU time"
    )


def _changes(numbers: Sequence[Number], params: Mapping[str, int]) -> str:
    return ", ".join(f"{n.name} {n.options[params[n.name]]:.4g}" for n in numbers if params[n.name] != n.middle)


if __name__ == "__main__":
    main()
