"""Random scripts of several edits on real repositories: does an edit that is legal after others still apply and run?

`python -m bench.walks FOLDER ... [--walks N] [--length K]` draws scripts of K edits, each a kind, a site and a choice drawn in turn on the
sources that the edits before left, and trains the result for a few steps (bench.steps). What is told of a crash is the script; its last
edit is to blame when the script without it runs.
"""

from __future__ import annotations

import random
import sys
from argparse import ArgumentParser
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.mutate import open_folder
from bench.steps import Stepper, covered, recipe_name
from graph.build import build_graph
from mutator.edit import EditError
from mutator.protect import protected_slots
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.code_graph import CodeGraph
    from graph.snapshot import Snapshot
    from mutator.edit import Edit
    from mutator.grammar import Grammar

_MOST_TRIES = 20  # kinds drawn before a walk gives up on a step


@dataclass(slots=True)
class Walks:
    """What became of the scripts on one repository."""

    edits: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # offered, but refused when applied
    ran: int = 0
    crashed: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)


def walk(graph: CodeGraph, grammar: Grammar, length: int, recipe: str, rng: random.Random, found: Walks) -> Snapshot:
    """Apply a random script and return what it leaves."""
    for _ in range(length):
        protected = protected_slots(graph)
        for _ in range(_MOST_TRIES):
            edit = _draw(graph, grammar.only(rng.choice(grammar.kinds).name), recipe, rng, protected)
            if edit is None:
                continue
            try:
                graph = build_graph(grammar.apply(graph, edit, protected=protected), previous=graph)
            except EditError as error:
                found.refused[f"{edit.kind}: {error}"] += 1
                continue
            found.edits += 1
            break
    return graph.snapshot


def _draw(
    graph: CodeGraph, grammar: Grammar, recipe: str, rng: random.Random, protected: frozenset[str]
) -> Edit | None:
    edits = [e for e in grammar.edits(graph, protected=protected) if covered(recipe, graph.nodes[e.site].path)]
    if not edits:
        return None
    site = rng.choice(sorted({edit.site for edit in edits}))
    return rng.choice([edit for edit in edits if edit.site == site])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what became of the scripts of each folder."""
    parser = ArgumentParser(description="Run random scripts of several edits.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--walks", type=int, default=20)
    parser.add_argument("--length", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    with Stepper() as stepper:
        for root in chosen.folders:
            recipe = recipe_name(root.resolve())
            if recipe is None:
                sys.stdout.write(f"{root}: has no recipe\n")
                continue
            graph, found = open_folder(root.resolve())[0], Walks()
            for number in range(chosen.walks):
                rng = random.Random(f"{chosen.seed} {root.name} {number}")
                end = walk(graph, default_grammar(), chosen.length, recipe, rng, found)
                changed = {path: data for path, data in end.files.items() if graph.snapshot.files.get(path) != data}
                outcome = stepper.run(recipe, changed, root)
                found.ran += 1
                if not outcome.ok:
                    found.crashed.append((outcome.error, end.script))
            _print(root, found)


def _print(root: Path, found: Walks) -> None:
    share = 100 * (1 - len(found.crashed) / max(1, found.ran))
    refused = found.refused.total()
    sys.stdout.write(
        f"{root.name}: {found.ran} scripts, {found.edits} edits, {refused} refused when applied, {share:.1f} % run\n"
    )
    sys.stdout.writelines(f"  refused {count} x {what}\n" for what, count in found.refused.most_common())
    for error, script in found.crashed:
        sys.stdout.write(f"  {error}\n" + "".join(f"      {uri}\n" for uri in script))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
