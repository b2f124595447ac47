"""The command that trusts nothing: does a campaign hold what its ledger says?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from harness.cli.errors import one_line_errors
from harness.verify import verify as check_campaign


@click.command()
@click.argument("campaign", type=click.Path(path_type=Path))
@click.option("--no-rescore", is_flag=True, help="Do not train and score the best program again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@one_line_errors
def verify(campaign: Path, no_rescore: bool, as_json: bool) -> None:
    """Read all of CAMPAIGN again: digests, lineage, edits, verdicts, rewards; and measure its best program once more.

    Exits with 1 when something is not what the ledger says, after a line for each.
    """
    checks = []
    for check in check_campaign(campaign, rescores=not no_rescore):
        checks.append(check)
        if not as_json:
            for fault in check.faults:
                click.echo(f"{check.name:<9} FAILED  {fault}")
            if not check.faults:
                click.echo(f"{check.name:<9} {check.said}")
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks]))
    if any(check.faults for check in checks):
        raise SystemExit(1)
