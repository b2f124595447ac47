"""The command that makes the checkpoint that ships."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.errors import WrongUse, one_line_errors


@click.command()
@click.option(
    "--landscape",
    "landscapes",
    multiple=True,
    metavar="NAME",
    help="Learn what edits of its target gain; several may be given.",
)
@click.option(
    "--start", type=click.Path(path_type=Path, dir_okay=False), help="Go on with the network of a checkpoint."
)
@click.option(
    "--walks",
    type=click.IntRange(0),
    default=120,
    show_default=True,
    help="Searches on invented tasks, to imitate.",
)
@click.option("--trials", type=click.IntRange(1), default=60, show_default=True, help="Of each.")
@click.option("--epochs", type=click.IntRange(1), default=6, show_default=True, help="Of imitation.")
@click.option(
    "--rounds", type=click.IntRange(0), default=4, show_default=True, help="Of practice, with 12 searches each."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="policy.safetensors", show_default=True)
@one_line_errors
def pretrain(  # noqa: PLR0913 -- the parameters of a command are its options
    landscapes: tuple[str, ...],
    start: Path | None,
    walks: int,
    trials: int,
    epochs: int,
    rounds: int,
    seed: int,
    out: Path,
) -> None:
    """Make a checkpoint of the ppo policy: a prior from landscapes, and a network that has seen many invented tasks.

    The network sees no landscape. So a checkpoint that never saw a target is one whose landscapes leave it out:

        codegraft policy pretrain --start ours.safetensors --walks 0 --rounds 0 --landscape tabular --landscape digits
    """
    from harness import pretrain as school  # noqa: PLC0415 - brings torch

    if not out.parent.is_dir():
        raise WrongUse(f"--out {out}: there is no folder {out.parent}; make it first")
    plan = school.Plan(landscapes, seed, str(start) if start else "", walks, trials, epochs, rounds)
    policy = school.pretrain(plan, click.echo)
    policy.save(out)
    click.echo(f"checkpoint {out}, {out.stat().st_size / 1e6:.1f} MB; codegraft search TARGET --checkpoint {out}")
