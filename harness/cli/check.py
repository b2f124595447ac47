"""The command that looks before a search leaps: what a target says, what is protected and why, what could be edited."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graph.model import NodeKind
from harness.cli.errors import one_line_errors, warn_of_unread
from harness.isolation import REQUIREMENTS, label_of, offers, refuse_less
from harness.sources import open_sources
from harness.trial import PACKAGE_ROOT

if TYPE_CHECKING:
    from harness.isolation import Offer
    from harness.sources import Sources

_PACKAGES = ("targets", "graph", "mutator", "policy", "harness")


@click.command()
@click.argument("target")
@click.option(
    "--require-isolation", "required", type=click.Choice(REQUIREMENTS), default="posix",
    help="Exit with 1 on a machine that gives less.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@one_line_errors
def check(target: str, required: str, as_json: bool) -> None:
    """Check TARGET and print what no edit may touch, with file and line, and how many edits of each kind there are.

    Also which layers of isolation this machine gives to its runs, each of them tried. Exits with 1 where another package hides one
    of codegraft's.
    """
    sources = open_sources(target)
    warn_of_unread(sources)
    hidden = [name for name in _PACKAGES if not _ours(name)]
    offered = Counter(edit.kind for edit in sources.code.edits())
    protected = [{"slot": slot, "line": line, "text": text} for slot, line, text in _protected(sources)]
    layers = offers()
    if as_json:
        frozen = sorted(sources.snapshot.frozen)
        isolation = [asdict(layer) for layer in layers]
        facts = {"frozen": frozen, "protected": protected, "edits": offered, "isolation": isolation, "hidden": hidden}
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{sources.root}: {len(sources.snapshot.files)} files, frozen: {', '.join(sorted(sources.snapshot.frozen)) or 'none'}"
        )
        click.echo(f"\nprotected ({len(protected)}):")
        for each in protected:
            click.echo(f"  {each['line']}: {each['text']}")
        click.echo(f"\nedits ({offered.total()}):")
        for kind, count in sorted(offered.items()):
            click.echo(f"  {count:>6}  {kind}")
        click.echo("\nisolation:")
        for layer in layers:
            click.echo(_layer_line(layer))
    for name in hidden:
        click.echo(
            f"codegraft: {name}: another package of that name hides codegraft's; run from another folder", err=True
        )
    if hidden:
        raise SystemExit(1)
    refuse_less(label_of(layers), required)


def _layer_line(layer: Offer) -> str:
    if not layer.is_there:
        return f"  {layer.level}  {layer.layer:<9}  no: {layer.detail}"
    return f"  {layer.level}  {layer.layer:<9}  yes: {layer.detail}; {layer.protects}"


def _protected(sources: Sources) -> list[tuple[str, str, str]]:
    """Return slot, file:line and first line of what is protected, in source order; of a unit only the unit."""
    nodes = sorted((sources.graph.nodes[slot] for slot in sources.protected), key=lambda n: (n.path, n.start))
    found = []
    for node in nodes:
        text = f"all of {node.path}" if node.kind is NodeKind.MODULE else sources.graph.text(node).splitlines()[0]
        found.append((node.slot, f"{node.path}:{sources.graph.line(node)}", text))
    return found


def _ours(name: str) -> bool:
    spec = find_spec(name)
    return spec is not None and spec.origin is not None and Path(spec.origin).is_relative_to(PACKAGE_ROOT)
