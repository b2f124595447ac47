"""How long the ppo policy takes to decide on a repository, and to learn online.

    python -m bench.decision FOLDER... --trials 100

Milliseconds of CPU in one thread, of a campaign whose trials are invented: each gains a normal number of standard deviations, and what is
three ahead of the best so far is kept. The first decision also reads all edits of the repository, so it stands apart. An update is what
a decision takes longer where weights change in the campaign.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from statistics import median, quantiles

import click

from graph.snapshot import read_sources
from mutator.code import Code
from mutator.shipped import default_grammar
from policy.make import SHIPPED, make_ppo
from policy.ppo import Design
from policy.protocol import Scene
from policy.testing import Program, Result

_MEAN, _SD, _KEPT = -1.0, 2.0, 3.0  # standard deviations of the unedited program


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path, file_okay=False))
@click.option("--trials", default=100, show_default=True)
def main(folders: tuple[Path, ...], trials: int) -> None:
    """Measure on each of FOLDERS."""
    for folder in folders:
        code = Code.of(read_sources(folder))
        root = Program(0, (), code.graph, tuple(code.edits()))
        click.echo(f"{folder.name}: {len(root.graph.nodes):,} nodes, {len(root.edits):,} edits, {trials} trials")
        frozen, online = (decide(root, trials, Design(online=online)) for online in (False, True))
        later = frozen[1:]
        click.echo(
            f"  decision  p50 {median(later):.0f} ms  p95 {quantiles(later, n=20)[-1]:.0f} ms  first {frozen[0]:.0f} ms"
        )
        click.echo(f"  update    p50 {median(online[1:]) - median(later):.0f} ms")


def decide(root: Program, n_trials: int, design: Design) -> list[float]:
    """Return what each decision took."""
    policy, rng, programs, best, took = make_ppo(0, SHIPPED, design), Random(0), [root], root, []
    leads = {0: 0.0}
    for number in range(1, n_trials + 1):
        scene = Scene(best, tuple(programs), number, n_trials, number - 1, default_grammar().priors)
        began_s = time.process_time()
        (move,) = policy.propose(scene, 1)
        took.append(1000 * (time.process_time() - began_s))
        gain = rng.gauss(_MEAN, _SD)
        leads[number] = leads[move.parent] + gain
        kept = leads[number] > leads[best.number] + _KEPT
        policy.feedback([Result(number, move.script, gain, move.parent, leads[number], kept=kept)])
        script = (*next(each.script for each in programs if each.number == move.parent), *move.script)
        programs.append(Program(number, script, root.graph, root.edits))
        best = programs[-1] if kept else best
    return took


if __name__ == "__main__":
    main()
