"""The commands about a campaign: status and report. They read, while the campaign may still run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.errors import one_line_errors
from harness.conclude import SHRUNK, recommended
from harness.ledger import read_record
from harness.objects import ObjectStore
from harness.pareto import pareto_front
from harness.report import write_report
from harness.sources import open_program
from harness.standing import front_json, front_lines, standing_json, standing_lines
from mutator.patch import difference

folder = click.argument("campaign", type=click.Path(path_type=Path))


@click.command()
@folder
@click.option(
    "--pareto", is_flag=True, help="And the programs that no other beats on metric, CPU time and complexity alike."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@one_line_errors
def status(campaign: Path, pareto: bool, as_json: bool) -> None:
    """Say where a campaign stands: baseline and noise, verdicts, best, why it stopped."""
    record = read_record(campaign)
    front = pareto_front(record, ObjectStore(campaign)) if pareto else None
    if as_json:
        told = {"pareto": front_json(front)} if front is not None else {}
        click.echo(json.dumps({**standing_json(record), **told}))
        return
    for line in (*standing_lines(record), *front_lines(record, front or ())):
        click.echo(line)


@click.command()
@folder
@one_line_errors
def report(campaign: Path) -> None:
    """Write CAMPAIGN/report.html: one offline file with the chart, every trial with its diff, the lineage and what each kind paid."""
    click.echo(f"report    {write_report(campaign)}")


@click.command()
@click.argument("trial", metavar="CAMPAIGN[@TRIAL]")
@one_line_errors
def patch(trial: str) -> None:
    """Print what a campaign found as a diff that `git apply` takes: the recommended script, or that of TRIAL (a number, best or shrunk).

    Recommended is the best program, without the edits that the last evaluation found to add nothing.
    """
    campaign, at, _ = trial.rpartition("@")
    if not at or Path(trial).is_dir():
        record = read_record(Path(trial))
        campaign, trial = (
            trial,
            f"{trial}@{'shrunk' if recommended(record) == SHRUNK else 'best'}",
        )
    unedited, edited = (open_program(name).snapshot.files for name in (f"{campaign}@0", trial))
    if unedited == edited:
        click.echo(f"codegraft: {trial}: is the unedited program; nothing was kept", err=True)
    click.echo(difference(unedited, edited).unified_diff(unedited), nl=False)
