"""The commands that edit: edits, apply. Nothing is trained and nothing of the target is imported."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import click

from harness.cli.errors import one_line_errors, warn_of_unread
from harness.sources import open_sources

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")


@click.command()
@click.argument("target")
@click.option(
    "--kind", "only", multiple=True, metavar="NAME", help="List the edits of this kind alone; may be repeated."
)
@as_json
@one_line_errors
def edits(target: str, only: tuple[str, ...], as_json: bool) -> None:
    """List every legal edit of TARGET, a folder with a manifest or any folder of Python files."""
    sources = open_sources(target)
    warn_of_unread(sources)
    found = sources.code.edits(*only)
    if as_json:
        click.echo(
            json.dumps([{"uri": e.uri, "kind": e.kind, "site": e.site, "choice": dict(e.choice)} for e in found])
        )
        return
    for edit in found:
        node = sources.graph.nodes[edit.site]
        click.echo(f"{edit.uri}  {node.path}:{sources.graph.line(node)}")


@click.command()
@click.argument("target")
@click.argument("edits", nargs=-1, required=True, metavar="EDIT...")
@click.option("--write", is_flag=True, help="Write the changed files as well.")
@one_line_errors
def apply(target: str, edits: tuple[str, ...], write: bool) -> None:
    """Apply each EDIT (a URI, as `codegraft edits` prints them) to TARGET, one after the other, and print the diff.

    `git apply -R` or `patch -R -p1` on that diff takes the edits back.
    """
    sources = open_sources(target)
    warn_of_unread(sources)
    after = sources.code.apply(*edits)
    click.echo(after.diff(), nl=False)
    if write:
        old, new = sources.snapshot.files, after.snapshot.files
        changed = [path for path in new if new[path] != old[path]]
        for path in changed:
            _write_whole(sources.root / path, new[path])
        click.echo(f"wrote {', '.join(changed)}", err=True)


def _write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step, its mode kept: a reader sees the old bytes or the new ones."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
        os.fchmod(file.fileno(), path.stat().st_mode)
    Path(file.name).replace(path)
