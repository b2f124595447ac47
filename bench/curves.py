"""Record what `bench.stopping` compares rules on: the curve and the metric of many real trainings, each run to its end.

The edits are drawn as the random policy draws them, all on the unedited target and all trained on the first seed, as a campaign's first
round is; the unedited target is trained on that seed and on others. It takes 5 to 10 s of CPU time per training, and goes on where it
was ended. What is written is data: a line of JSON with its provenance, then one for each training.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.measure import Runner
from harness.sources import open_sources
from mutator.edit import EditError
from mutator.shipped import default_grammar
from policy.protocol import Scene
from policy.random import RandomPolicy
from policy.testing import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.snapshot import Snapshot
    from harness.sources import Sources
    from harness.values import Outcome

_DIGITS = 5  # of the numbers in a curve


def draw_edits(sources: Sources, n: int, seed: int) -> Iterator[tuple[str, Snapshot]]:
    """Walk the first n edits of the random policy with what each makes of the sources."""
    edits = tuple(default_grammar().edits(sources.graph, protected=sources.protected))
    unedited = Program(0, (), sources.graph, edits)
    scene = Scene(unedited, (unedited,), 1, n, priors=default_grammar().priors)
    for (edit,) in (move.script for move in RandomPolicy(seed).propose(scene, n)):
        try:
            yield edit.address, default_grammar().apply(sources.graph, edit, protected=sources.protected)
        except EditError:  # refused when planned: a campaign counts it and runs nothing
            continue


def to_json(edit: str, outcome: Outcome) -> str:
    """Print a training as a line."""
    return json.dumps(
        {
            "edit": edit,
            "seed": outcome.seed,
            "status": outcome.status,
            "metric": outcome.metric,
            "cpu_s": round(outcome.cpu_s, 2),
            "curve": [round(mark, _DIGITS) for mark in outcome.curve],
        }
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", default="bytelm", show_default=True)
@click.option("--edits", "n_edits", default=120, show_default=True, help="how many to draw")
@click.option("--replicates", default=5, show_default=True, help="of the unedited target, seeds from --seed on")
@click.option("--seed", default=0, show_default=True)
def main(file: Path, target: str, n_edits: int, replicates: int, seed: int) -> None:
    """Write the curves of the unedited target and of random edits to FILE."""
    sources = open_sources(target)
    plan = [("", seed + i, sources.snapshot) for i in range(replicates)]
    plan += [(edit, seed, snapshot) for edit, snapshot in draw_edits(sources, n_edits, seed)]
    if not file.exists():
        budget = sources.trainable.budget
        head = {
            "command": f"python -m bench.curves {file.name} --target {target} --edits {n_edits} --replicates {replicates} --seed {seed}",
            "codegraft": version("codegraft"),
            "torch": version("torch"),
            "python": platform.python_version(),
            "budget": f"{budget.amount:g} {budget.unit}",
            "kinds": len(default_grammar().kinds),
        }
        file.write_text(json.dumps(head) + "\n")
    done = len(file.read_text().splitlines()) - 1
    with Runner(sources.trainable) as runner:
        for edit, run_seed, snapshot in plan[done:]:
            outcome = runner.run(snapshot, run_seed)
            with file.open("a") as lines:
                lines.write(to_json(edit, outcome) + "\n")
            click.echo(f"{outcome.status}  {outcome.metric:.4f}  {outcome.cpu_s:.1f} s  {edit}")


if __name__ == "__main__":
    main()
