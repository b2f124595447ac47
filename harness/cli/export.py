"""The command `export`: a campaign in the format of another tool. It reads, while the campaign may still run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from harness.cli.errors import WrongUse, one_line_errors
from harness.export import FORMATS, Format, find_place, read_history, write_export

_TABLE = "\n".join(f"  {each.name:<12} {each.says}" for each in FORMATS.values())
_HELP = f"""Write CAMPAIGN in the format of another tool; a campaign may be running.

\b
{_TABLE}

tsv and jsonl go to stdout, the others to their place in CAMPAIGN, where each export replaces the one before. From parquet on, a format
needs its extra: pip install "codegraft[parquet]". Nothing leaves this machine.
"""


@click.command(help=_HELP)
@click.argument("campaign", type=click.Path(path_type=Path))
@click.option(
    "--to", "name", required=True, type=click.Choice(list(FORMATS)), metavar="FORMAT", help="One of the above."
)
@click.option("-o", "--out", metavar="PATH", help="Write there; - is stdout.")
@click.option("--force", is_flag=True, help="Replace a file at PATH.")
@one_line_errors
def export(campaign: Path, name: str, out: str | None, force: bool) -> None:
    """Write a campaign in the format of another tool."""
    format_ = FORMATS[name]
    if out == "-" and not format_.is_text:
        raise WrongUse(f"export: {name} is no text; name a path with -o")
    format_.load()  # before the campaign is read: what is missing is said at once
    history = read_history(campaign)
    if out == "-" or (out is None and format_.to_stdout):
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / format_.place
            write_export(history, format_, draft)
            click.echo(draft.read_bytes(), nl=False)
        return
    place = find_place(campaign, format_, Path(out) if out is not None else None, force=force)
    write_export(history, format_, place)
    click.echo(f"{name:<9} {place}  ({_opens(format_, place)})")


def _opens(format_: Format, place: Path) -> str:
    what = format_.says.rpartition(": ")[2]
    return what.replace("FILE", str(place)).replace("FOLDER", str(place))
