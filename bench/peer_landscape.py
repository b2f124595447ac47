"""The landscape that autoresearch-rl bundles with its example: who finds its optimum, in how many trials?

`python -m bench.peer_landscape` plays the policies of this project for 30 seeds and prints a table. With `--peer PYTHON`, of an environment
that has autoresearch-rl 0.5.0 and NumPy, its own policies `learned`, `random` and `grid` are played beside them (bench.peer_policies).

The metric is a sum of three terms, without noise: the distance of the learning rate and of the clipping from their optima, and a bonus
for a flag. Seven rates, seven clippings and the flag are 98 configurations; the unedited program has the example's defaults. The peer sets
all three at once in each trial; here an edit sets one, and a script up to three.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

from graph.build import build_graph
from graph.snapshot import Snapshot
from harness.landscape.walk import walk
from mutator.edit import Edit
from policy.make import OWN, make_policy
from targets.manifest import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.code_graph import CodeGraph

RATES = (2.0e-3, 2.2e-3, 2.4e-3, 2.6e-3, 2.8e-3, 3.0e-3, 3.2e-3)
CLIPS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
START = (2.8e-3, 0.8, False)
SOURCE = b"""learning_rate = 0.0028
grad_clip = 0.8
use_qk_norm = False
"""
SLOTS = ("train:/literal.learning_rate", "train:/literal.grad_clip", "train:/literal.use_qk_norm")
OPTIMUM = 1.3
BUDGETS = (10, 25, 40, 100, 300)
_PEER = Path(__file__).parent / "peer_policies.py"
_ENOUGH = 1e-9


def metric_of(rate: float, clip: float, norm: float) -> float:
    """Return what a program with these values measures, lower is better: the formula of the peer's example."""
    return 1.35 + 130.0 * abs(rate - 2.6e-3) + 0.3 * abs(clip - 0.85) - 0.05 * norm


@dataclass(frozen=True, eq=False)
class Bundled:
    """A harness.landscape.Landscape of scripts of up to three edits."""

    name: str = "autoresearch-rl"
    direction: Direction = Direction.MINIMIZE
    sd: float = 0.0
    baseline: float = metric_of(*START)
    best: float = OPTIMUM

    @cached_property
    def graph(self) -> CodeGraph:
        """Three assignments."""
        return build_graph(Snapshot({"train.py": SOURCE}))

    @cached_property
    def edits(self) -> tuple[Edit, ...]:
        """Each other value of each slot."""
        numbers = ((slot, value) for slot, values in zip(SLOTS, (RATES, CLIPS), strict=False) for value in values)
        setting = (Edit("set-literal", slot, (("to", value),)) for slot, value in numbers if value not in START)
        return (*setting, Edit("flip-flag", SLOTS[2], ()))

    def legal(self, script: Sequence[Edit]) -> tuple[Edit, ...]:
        """Return the edits of the slots that are as they were."""
        taken = {edit.site for edit in script}
        return tuple(edit for edit in self.edits if edit.site not in taken)

    def value(self, script: Sequence[Edit]) -> float:
        """Return the metric."""
        chosen = {edit.site: dict(edit.choice).get("to", True) for edit in script}
        rate, clip, norm = (float(chosen.get(slot, start)) for slot, start in zip(SLOTS, START, strict=True))
        return metric_of(rate, clip, norm)

    def measure(self, script: Sequence[Edit], seed: int) -> float:
        """Return the metric: there is no noise."""
        del seed
        return self.value(script)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with autoresearch-rl")
    asked = parser.parse_args()
    click.echo(
        f"optimum found in, of {asked.seeds}, after trials\n{'policy':14s} {''.join(f'{n:8d}' for n in BUDGETS)}   different"
    )
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for name in OWN:
            _tell(name, list(pool.map(play, [name] * asked.seeds, range(asked.seeds))))
    if asked.peer:
        space = json.dumps([RATES, CLIPS, [False, True], asked.seeds, max(BUDGETS)])
        ran = subprocess.run([asked.peer, str(_PEER), space], check=True, capture_output=True, text=True)
        for name, courses in json.loads(ran.stdout).items():
            _tell(f"peer {name}", [[metric_of(*values) for values in course] for course in courses])


def play(name: str, seed: int) -> list[float]:
    """Return what each trial of a campaign measured."""
    trials = walk(Bundled(), make_policy(name, seed), seed=seed, n_trials=max(BUDGETS)).trials
    return [trial.outcomes[0].metric if trial.ok else math.inf for trial in trials]


def _tell(name: str, courses: Sequence[Sequence[float]]) -> None:
    """Print in how many of the campaigns the optimum was found, and how many different metrics were measured."""
    found = (sum(min(course[:n]) < OPTIMUM + _ENOUGH for course in courses) for n in BUDGETS)
    different = median(len({round(metric, 9) for metric in course}) for course in courses)
    click.echo(f"{name:14s} {''.join(f'{n:8d}' for n in found)}{different:12g}")


if __name__ == "__main__":
    main()
