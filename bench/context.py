"""Measure the context of every function of repositories: `python -m bench.context REPO...`.

Tokens are the estimate that `graph.tokens` makes. Every context is parsed, and one over the cap ends the run.
"""

from __future__ import annotations

import ast
import time
from pathlib import Path
from statistics import median, quantiles

import click

from graph.build import build_graph
from graph.code_graph import CodeGraph
from graph.context import DEFAULT_TOKENS, Context, context
from graph.model import NodeKind
from graph.snapshot import python_files, read_snapshot

ENOUGH = 0.95  # of the names that a site uses


def measure(graph: CodeGraph, *, max_tokens: int) -> list[Context]:
    """Return the context of every function, in source order.

    Raises: AssertionError: one is over the cap. SyntaxError: one is not Python.
    """
    found = []
    for node in graph.of_kind(NodeKind.FUNCTION):
        each = context(graph, node.slot, max_tokens=max_tokens)
        ast.parse(each.text)
        if each.used_tokens > max_tokens:
            raise AssertionError(f"{node.slot}: {each.used_tokens} tokens, {max_tokens} allowed")
        found.append(each)
    return found


@click.command()
@click.argument("repos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--tokens", default=DEFAULT_TOKENS, show_default=True, help="The cap.")
@click.option("--worst", default=0, help="Also list this many sites with the most names left undeclared.")
def main(repos: tuple[Path, ...], tokens: int, worst: int) -> None:
    """Print a line per repository: tokens in all, per function site, and the sites that see what they name."""
    for root in repos:
        graph = build_graph(read_snapshot(root, python_files(root)))
        start = time.process_time()
        found = measure(graph, max_tokens=tokens)
        spent_ms = 1e3 * (time.process_time() - start) / len(found)
        used = [each.used_tokens for each in found]
        seen = [each.names_declared >= ENOUGH * each.names_total for each in found]
        click.echo(
            f"{root.name:<12} {found[0].full_tokens:,} tokens; {len(found)} function sites: median {median(used):.0f}, "
            f"p90 {quantiles(used, n=10)[-1]:.0f}, max {max(used)} tokens; {sum(seen) / len(seen):.1%} declare >= {ENOUGH:.0%} "
            f"of their names; {sum(bool(each.dropped) for each in found)} drop something; {spent_ms:.1f} ms each"
        )
        missed = sorted(found, key=lambda each: each.names_declared - each.names_total)[:worst]
        for each in missed:
            click.echo(f"  {each.slot}: {each.names_declared} of {each.names_total}")


if __name__ == "__main__":
    main()
