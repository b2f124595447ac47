"""The command that compares policies: on landscapes in seconds, on a target by real campaigns."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.errors import WrongUse, one_line_errors
from harness.sources import open_target
from policy.make import OWN, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.benchmark.play import Job

_QUICK_TRIALS, _QUICK_SEEDS = 100, 2
_REFERENCE = "local"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def bench() -> None:
    """Compare what codegraft is made of: policies."""


@bench.command()
@click.argument("target", required=False)
@click.option("--policy", "names", multiple=True, metavar="NAME", help="Several may be given.  [default: all]")
@click.option("--seeds", type=click.IntRange(2), default=20, show_default=True, help="Walks per policy and task.")
@click.option("--trials", type=click.IntRange(1), default=200, show_default=True, help="Length of each.")
@click.option(
    "--quick", is_flag=True, help=f"{_QUICK_SEEDS} seeds, {_QUICK_TRIALS} trials: minutes, and wide intervals."
)
@click.option("--reference", default=_REFERENCE, show_default=True, help="Whom the others are compared with.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Of one thread each; with a TARGET, campaigns at a time.",
)
@click.option(
    "--out",
    default="bench-policies",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the results.",
)
@one_line_errors
def policies(  # noqa: PLR0913 -- the parameters of a command are its options
    target: str | None,
    names: tuple[str, ...],
    seeds: int,
    trials: int,
    quick: bool,
    reference: str,
    processes: int,
    out: Path,
) -> None:
    """Let policies search, and say who gains how much: after 25, 50, 100 and 200 trials, by true values.

    Without a TARGET on landscapes: the measured ones that ship, and synthetic families. With one, by campaigns that train.
    Writes results.jsonl, table.md and regret.svg (without a TARGET) to --out; what results.jsonl knows is not played again.
    docs/benchmark.md says what it all means.
    """
    names = tuple(dict.fromkeys(names)) or tuple(OWN)
    for name in names:
        refuse_unknown(name)
    if quick:
        seeds, trials = _QUICK_SEEDS, _QUICK_TRIALS
    if reference not in names:
        raise WrongUse(f"--reference {reference}: does not play; name it with --policy as well")
    if target is not None:
        from harness.benchmark.real import Plan, compare_on  # noqa: PLC0415 - starts campaigns

        compare_on(open_target(target), Plan(names, seeds, trials, reference, processes, out), click.echo)
        return
    from harness.benchmark.play import plan_jobs  # noqa: PLC0415

    _compare_on_landscapes(plan_jobs(names, seeds, trials), reference, processes, out)


def _compare_on_landscapes(jobs: Sequence[Job], reference: str, n_processes: int, out: Path) -> None:
    from harness.benchmark.play import play_missing  # noqa: PLC0415
    from harness.benchmark.plot import regret_svg  # noqa: PLC0415
    from harness.benchmark.table import stand, table_lines  # noqa: PLC0415

    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    standings = stand(play_missing(results, jobs, n_processes, partial(click.echo, err=True)))
    page = "\n".join(table_lines(standings, reference)) + "\n"
    (out / "table.md").write_text(page)
    (out / "regret.svg").write_text(regret_svg(standings))
    click.echo(page)
    click.echo(f"results  {results}\nplot     {out / 'regret.svg'}")
