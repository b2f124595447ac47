"""The commands about edits: kinds, edits, apply. Nothing is trained and nothing of the target is imported."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graph.build import build_graph
from graph.snapshot import Snapshot
from harness.cli.errors import one_line_errors
from harness.sources import Sources, open_sources
from mutator.edit import Edit, parse_edit
from mutator.grammar import DEFAULT_GRAMMAR
from mutator.patch import Patch, compose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutator.kind import EditKind

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@as_json
@one_line_errors
def kinds(names: tuple[str, ...], as_json: bool) -> None:
    """List the edit kinds, or show the named ones with their examples."""
    grammar = DEFAULT_GRAMMAR.only(*names) if names else DEFAULT_GRAMMAR
    if as_json:
        click.echo(
            json.dumps(
                [
                    {"name": kind.name, "summary": _doc(kind)[0], "examples": [e.edit for e in kind.examples]}
                    for kind in grammar.kinds
                ]
            )
        )
        return
    for kind in grammar.kinds:
        click.echo(_page(kind) if names else f"{kind.name:<18} {_doc(kind)[0]}")


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
    grammar = DEFAULT_GRAMMAR.only(*only) if only else DEFAULT_GRAMMAR
    found = grammar.edits(sources.graph, protected=sources.protected)
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
    patch = _plan_all(sources, [parse_edit(uri) for uri in edits])
    click.echo(patch.unified_diff(sources.snapshot.files), nl=False)
    if write:
        for path, data in patch.apply(sources.snapshot.files).items():
            _write_whole(sources.root / path, data)
        click.echo(f"wrote {', '.join(patch.paths)}", err=True)


def _plan_all(sources: Sources, edits: Iterable[Edit]) -> Patch:
    whole, graph = Patch(()), sources.graph
    for edit in edits:
        patch = DEFAULT_GRAMMAR.plan(graph, edit, protected=sources.protected)
        whole = compose(whole, patch, sources.snapshot.files)
        graph = build_graph(graph.snapshot.with_files(patch.apply(graph.snapshot.files), edit=edit.uri), previous=graph)
    return whole


def _write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step, its mode kept: a reader sees the old bytes or the new ones."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
        os.fchmod(file.fileno(), path.stat().st_mode)
    Path(file.name).replace(path)


def _doc(kind: EditKind) -> list[str]:
    return (inspect.getdoc(type(kind)) or "").splitlines()


def _page(kind: EditKind) -> str:
    """Print a kind as its documentation page: what, why, source, and every example as a diff."""
    parts = [kind.name, *(f"  {line}" for line in _doc(kind))]
    for example in kind.examples:
        snapshot = Snapshot({path: text.encode() for path, text in example.before.items()})
        diff = DEFAULT_GRAMMAR.plan(build_graph(snapshot), parse_edit(example.edit)).unified_diff(snapshot.files)
        parts += ["", f"  {example.edit}", *(f"    {line}" for line in diff.splitlines())]
    return "\n".join([*parts, ""])
