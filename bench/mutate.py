"""Apply every edit that the grammar offers on real repositories, check each, and run a sample of them for real.

`python -m bench.mutate FOLDER ... [--kind K] [--sample N] [--json FILE]` plans and verifies every edit of every kind, and says per kind how
many there are and what goes wrong: an edit that was offered and is refused, an inverse that does not restore, code that does not compile.
Of each kind it then trains a seeded sample for a few steps (bench.steps, where there is a recipe for the folder): live when the fingerprint
moves, inert when it does not, else how it crashed; a kind that says it preserves behaviour must leave it. Sites are sampled before choices,
so that one literal with many values does not speak for all.
"""

from __future__ import annotations

import json
import random
import sys
import time
from argparse import ArgumentParser
from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from bench.steps import Stepper, covered, recipe_name
from graph.build import build_graph
from graph.snapshot import Snapshot
from harness.sources import open_sources
from mutator.edit import EditError
from mutator.kind import Refused
from mutator.protect import protected_slots
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bench.steps import Outcome
    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from mutator.grammar import Grammar
    from mutator.patch import Patch

_FROZEN = {"autoresearch": ("prepare.py",)}  # what the repository itself declares untouchable
_MOST_SHOWN = 3  # examples of one kind's failures


@dataclass(slots=True)
class Record:
    """How one kind fares on one repository."""

    sites: int = 0
    edits: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # offered, but refused when planned: reason -> how many
    broken: list[str] = field(default_factory=list)  # inverse, foreign bytes, an exception
    seconds: list[float] = field(default_factory=list)  # CPU, to plan and verify one edit
    ran: int = 0
    live: int = 0
    diverged: int = 0  # of those that ran: a loss was no number
    crashes: Counter[str] = field(default_factory=Counter)  # class -> how many
    examples: list[str] = field(default_factory=list)  # "uri: error", one per class
    inert: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Study:
    """One repository."""

    root: Path
    files: int
    lines: int
    build_s: float
    list_s: float = 0.0
    kinds: dict[str, Record] = field(default_factory=dict)


def open_folder(root: Path) -> tuple[CodeGraph, frozenset[str]]:
    """Read the sources of a repository, and what is protected there."""
    sources = open_sources(str(root))
    if sources.target is not None:
        return sources.graph, sources.protected
    graph = build_graph(Snapshot(sources.snapshot.files, frozenset(_FROZEN.get(root.name, ()))))
    return graph, protected_slots(graph)


def study(root: Path, grammar: Grammar, *, sample: int, seed: int, limit: int, stepper: Stepper | None) -> Study:
    """Check all edits of a grammar on a repository, up to `limit` a kind, and run `sample` of each kind."""
    start = time.process_time()
    graph, protected = open_folder(root)
    lines = sum(data.count(b"\n") for data in graph.snapshot.files.values())
    result = Study(root, len(graph.snapshot.files), lines, time.process_time() - start)
    recipe = recipe_name(root)
    baseline = stepper.run(recipe, {}, root) if stepper and recipe else None
    if baseline is not None and not baseline.ok:
        raise SystemExit(f"{root}: does not run unedited: {baseline.error}")
    for kind in grammar.kinds:
        record = result.kinds[kind.name] = Record()
        alone = grammar.only(kind.name)
        start = time.process_time()
        edits = _list(alone, graph, protected, record)
        result.list_s += time.process_time() - start
        record.sites, record.edits = len({edit.site for edit in edits}), len(edits)
        rng = random.Random(f"{seed} {root.name} {kind.name}")
        checked = edits if len(edits) <= limit else list(islice(_spread(edits, rng), limit))
        patches = dict(_check(alone, graph, checked, protected, record))
        if stepper and recipe and baseline:
            fitting = [edit for edit in patches if any(covered(recipe, path) for path in patches[edit].paths)]
            for edit in islice(_spread(fitting, rng), sample):
                outcome = stepper.run(recipe, patches[edit].apply(graph.snapshot.files), root)
                _count(record, edit, outcome, baseline, preserves=kind.preserves)
    return result


def _list(grammar: Grammar, graph: CodeGraph, protected: frozenset[str], record: Record) -> list[Edit]:
    """List the edits of one kind; a kind that raises has none after that."""
    found: list[Edit] = []
    try:
        found.extend(grammar.edits(graph, protected=protected))
    except Exception as error:  # noqa: BLE001 - a kind that fails is what is looked for
        record.broken.append(f"domain or plan: {_said(error)}")
    return found


def _spread(edits: Sequence[Edit], rng: random.Random) -> Iterator[Edit]:
    """Walk edits in a random order that takes one of each site, then a second of each, and so on."""
    by_site: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        by_site[edit.site].append(edit)
    queues = list(by_site.values())
    rng.shuffle(queues)
    for queue in queues:
        rng.shuffle(queue)
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _check(
    grammar: Grammar, graph: CodeGraph, edits: Iterable[Edit], protected: frozenset[str], record: Record
) -> Iterator[tuple[Edit, Patch]]:
    """Plan, verify, apply and undo each edit."""
    files = graph.snapshot.files
    for edit in edits:
        start = time.process_time()
        try:
            patch = grammar.plan(graph, edit, protected=protected)
        except Refused as refused:
            record.refused[str(refused.reason)] += 1
            record.examples.append(f"REFUSED {edit.uri}: {refused}")
            continue
        except Exception as error:  # noqa: BLE001 - a kind that fails is what is looked for
            record.broken.append(f"{edit.uri}: {_said(error)}")
            continue
        finally:
            record.seconds.append(time.process_time() - start)
        wrong = _wrong(patch, files)
        if wrong:
            record.broken.append(f"{edit.uri}: {wrong}")
        yield edit, patch


def _said(error: Exception) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place is not None else ""
    return f"{type(error).__name__}: {error} @ {where}"


def _wrong(patch: Patch, files: Mapping[str, bytes]) -> str:
    changed = patch.apply(files)
    if not changed or all(files[path] == data for path, data in changed.items()):
        return "changes nothing"
    try:
        for path, data in changed.items():
            compile(data, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"does not compile: {error}"
    try:
        restored = patch.invert().apply(changed)
    except EditError as error:
        return f"its inverse does not apply: {error}"
    return "" if all(restored[path] == files[path] for path in changed) else "its inverse does not restore the files"


def _count(record: Record, edit: Edit, outcome: Outcome, baseline: Outcome, *, preserves: bool) -> None:
    record.ran += 1
    if not outcome.ok:
        name = outcome.error.partition(":")[0]
        record.crashes[name] += 1
        record.examples.append(f"{edit.uri}: {outcome.error}")
    elif outcome.fingerprint == baseline.fingerprint:
        record.inert.append(edit.uri)
    else:
        record.live += 1
        if preserves:
            record.broken.append(f"{edit.uri}: should preserve what is computed, and does not")
        record.diverged += "nan" in outcome.fingerprint


def print_study(result: Study, *, shown: int) -> None:
    """Print a table of the kinds, then what went wrong."""
    out, kinds = sys.stdout, sorted(result.kinds.items())
    seconds = [s for _, record in kinds for s in record.seconds]
    p50, p90 = (quantiles(seconds, n=10)[i] * 1e3 for i in (4, 8)) if len(seconds) > 1 else (0.0, 0.0)
    out.write(
        f"{result.root.name}: {result.files} files, {result.lines:,} lines, {sum(r.edits for _, r in kinds):,} edits; "
        f"graph {result.build_s:.2f} s, list {result.list_s:.2f} s, an edit p50 {p50:.1f} ms p90 {p90:.1f} ms CPU\n"
        f"  {'kind':28} {'sites':>5} {'edits':>6} {'refused':>7} {'broken':>6} {'ran':>4} {'ok':>6} {'live':>5} {'inert':>5} {'nan':>4}\n"
    )
    out.writelines(_row(name, record) for name, record in kinds if record.edits or record.broken)
    ran, live = sum(r.ran for _, r in kinds), sum(r.live for _, r in kinds)
    crashed = sum(r.crashes.total() for _, r in kinds)
    if ran:
        out.write(f"  {ran} ran: {100 - 100 * crashed / ran:.1f} % to the end, {100 * live / ran:.1f} % live\n")
    for name, r in kinds:
        lines = [*r.broken[:shown], *r.examples[:shown], *(f"INERT {uri}" for uri in r.inert[:shown])]
        out.writelines(f"    {name}: {line}\n" for line in lines)
    out.flush()


def _row(name: str, r: Record) -> str:
    ok = f"{100 - 100 * r.crashes.total() / r.ran:.0f} %" if r.ran else "-"
    crashes = ", ".join(f"{error} {count}" for error, count in r.crashes.most_common())
    return (
        f"  {name:28} {r.sites:5} {r.edits:6} {r.refused.total():7} {len(r.broken):6} {r.ran:4} {ok:>6} {r.live:5} {len(r.inert):5} "
        f"{r.diverged:4}  {crashes}\n"
    )


def _as_json(result: Study) -> dict[str, object]:
    records = {name: {f.name: getattr(record, f.name) for f in fields(record)} for name, record in result.kinds.items()}
    return {**{f.name: getattr(result, f.name) for f in fields(result)}, "root": str(result.root), "kinds": records}


def main(arguments: Sequence[str] | None = None) -> None:
    """Study each folder and print what was found."""
    parser = ArgumentParser(description="Apply all edits on real repositories and run a sample of them.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--kind", action="append", default=[], help="these kinds alone")
    parser.add_argument("--sample", type=int, default=8, help="how many edits of each kind to run; 0 runs none")
    parser.add_argument("--limit", type=int, default=2000, help="how many edits of each kind to plan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shown", type=int, default=_MOST_SHOWN, help="how many failures of each kind to print")
    parser.add_argument("--json", type=Path, help="write all that was found there")
    chosen = parser.parse_args(arguments)
    grammar = default_grammar().only(*chosen.kind) if chosen.kind else default_grammar()
    studies = []
    stepper = Stepper() if chosen.sample else None
    for root in chosen.folders:
        found = study(
            root.resolve(), grammar, sample=chosen.sample, seed=chosen.seed, limit=chosen.limit, stepper=stepper
        )
        print_study(found, shown=chosen.shown)
        studies.append(_as_json(found))
    if stepper is not None:
        stepper.close()
    if chosen.json:
        chosen.json.write_text(json.dumps(studies, indent=1) + "\n")


if __name__ == "__main__":
    main()
