"""The command that looks before a search leaps: what is protected and why, what could be edited, what a trial measures and takes."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graph.model import NodeKind
from harness.checkup import check_up, hints
from harness.cli.errors import WrongUse, one_line_errors, say, warn_of_unread
from harness.isolation import REQUIREMENTS, label_of, offers, refuse_less
from harness.measure import Runner
from harness.sources import open_sources
from harness.trial import PACKAGE_ROOT
from harness.values import TrialError
from mutator.edit import EditError
from targets.manifest import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.checkup import Checkup
    from harness.isolation import Offer
    from harness.sources import Sources
    from targets.manifest import Measured, Target

_PACKAGES = ("targets", "graph", "mutator", "policy", "harness")


@click.command()
@click.argument("target")
@click.option(
    "--runs", type=click.IntRange(0), default=3, show_default=True, help="Seeds to run the unedited target on; 0: none."
)
@click.option(
    "--require-isolation", "required", type=click.Choice(REQUIREMENTS), default="posix",
    help="Exit with 1 on a machine that gives less.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@one_line_errors
def check(target: str, runs: int, required: str, as_json: bool) -> None:
    """Check TARGET: what no edit may touch, with file and line, how many edits of each kind there are, which isolation this machine gives.

    Then run it unedited, and say its metric with the noise, what a trial takes, beside what its manifest documents, and what to improve.
    Exits with 1 where another package hides one of codegraft's, or a run has no metric.
    """
    if runs == 1:
        raise WrongUse("--runs: is 1, which shows no noise; give 0, or at least 2")
    sources = open_sources(target)
    warn_of_unread(sources)
    facts = _Facts.of(sources)
    if not as_json:
        for line in facts.lines(sources):
            click.echo(line)
    for name in facts.hidden:
        click.echo(
            f"codegraft: {name}: another package of that name hides codegraft's; run from another folder", err=True
        )
    shortage = _shortage(facts.isolation, required)
    is_able = not (facts.hidden or shortage) and sources.target is not None
    found = _run(sources, runs, required) if runs and is_able else None
    said = [*_untried(sources), *(hints(sources.target, found) if sources.target is not None and found else ())]
    if as_json:
        click.echo(json.dumps({**facts.told(sources), **_measured(sources, found), "hints": said}))
    else:
        for line in _report(sources, facts, found, said):
            click.echo(line)
    if facts.hidden:
        raise SystemExit(1)
    if shortage:
        raise shortage


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of a target without running it."""

    protected: list[dict[str, str]]
    edits: Counter[str]
    isolation: tuple[Offer, ...]
    hidden: list[str]

    @classmethod
    def of(cls, sources: Sources) -> _Facts:
        protected = [{"slot": slot, "line": line, "text": text} for slot, line, text in _protected(sources)]
        offered = Counter(edit.kind for edit in sources.code.edits())
        return cls(protected, offered, tuple(offers()), [name for name in _PACKAGES if not _ours(name)])

    def told(self, sources: Sources) -> dict[str, object]:
        return {
            "frozen": sorted(sources.snapshot.frozen),
            "protected": self.protected,
            "forbidden": _forbidden(sources),
            "edits": self.edits,
            "n_edits": self.edits.total(),
            "isolation": [asdict(layer) for layer in self.isolation],
            "hidden": self.hidden,
        }

    def lines(self, sources: Sources) -> Iterator[str]:
        yield f"{sources.root}: {len(sources.snapshot.files)} files, frozen: {', '.join(sorted(sources.snapshot.frozen)) or 'none'}"
        yield f"\nprotected ({len(self.protected)}):"
        yield from (f"  {each['line']}: {each['text']}" for each in self.protected)
        if forbidden := _forbidden(sources):
            yield f"\nforbidden ({len(forbidden)}): {', '.join(forbidden)}"
        yield f"\nedits ({self.edits.total()}):"
        yield from (f"  {count:>6}  {kind}" for kind, count in sorted(self.edits.items()))
        yield "\nisolation:"
        yield from map(_layer_line, self.isolation)


def _run(sources: Sources, n_seeds: int, required: str) -> Checkup:
    def start(target: Target) -> Runner:
        return Runner(target, required=required, announce=say, allow_self_reported=True)

    return check_up(sources.trainable, sources.snapshot, n_seeds, start)


def _shortage(layers: tuple[Offer, ...], required: str) -> TrialError | None:
    """Return what speaks against running on this machine."""
    try:
        refuse_less(label_of(layers), required)
    except TrialError as error:
        return error
    return None


def _untried(sources: Sources) -> Iterator[str]:
    """Walk what is wrong with a target that no run shows."""
    if sources.target is None:
        yield f"there is no codegraft.toml, so nothing is run; codegraft init {sources.root} writes one"
    elif sources.target.measured is not None and sources.target.measured.script:
        try:
            sources.unrestricted.apply(*sources.target.measured.script)
        except EditError as error:
            yield f"measured.script does not apply any more ({error}); measure the best again"


def _measured(sources: Sources, found: Checkup | None) -> dict[str, object]:
    """Return what was measured and what is documented, for other programs."""
    known = sources.target.measured if sources.target is not None else None
    told: dict[str, object] = {"documented": known.model_dump() if known is not None else None, "measured": None}
    if found is not None:
        noise = found.noise
        told["measured"] = {
            "metric": sources.trainable.metric, "baseline": noise.mean, "sd": 0.0 if noise.floored else noise.sd, "seeds": noise.n,
            "wall_s": found.wall_s, "cpu_s": found.cpu_s, "repeatable": found.is_repeatable, "tier": sources.trainable.tier,
            "peak_rss_bytes": max(outcome.peak_rss_bytes for outcome in found.outcomes), "passing": found.passing,
        }  # fmt: skip
    return told


def _report(sources: Sources, facts: _Facts, found: Checkup | None, said: list[str]) -> Iterator[str]:
    """Walk the lines about what was measured, beside what is documented, and the hints."""
    target = sources.target
    known = target.measured if target is not None else None
    if target is not None and (known or found):
        yield "\nmeasured:" if found else "\ndocumented:"
        yield from _figures(target, known, found)
        yield f"  edits     {facts.edits.total()} legal, of {len(facts.edits)} kinds"
    if said:
        yield "\nhints:"
        yield from (f"  {line}" for line in said)


def _figures(target: Target, known: Measured | None, found: Checkup | None) -> Iterator[str]:
    badge = " (self-reported, not measured)" if target.tier is Tier.SELF_REPORTED else ""
    documented = f"{known.baseline:.5g} +- {known.sd:.2g} ({known.seeds} seeds)" if known else ""
    if found is None:
        yield f"  baseline  {target.metric} {documented}"
    else:
        noise = found.noise
        spread = "no noise" if noise.floored else f"+- {noise.sd:.2g}"
        beside = f"; documented {documented}" if known else ""
        yield f"  baseline  {target.metric}{badge} {noise.mean:.5g} {spread} ({noise.n} seeds){beside}"
        yield f"  seed 0    {'bit-equal when run again' if found.is_repeatable else 'gives another metric when run again'}"
        rss = max(outcome.peak_rss_bytes for outcome in found.outcomes) >> 20
        beside = f"; documented {known.wall_s:.3g} s, {known.cpu_s:.3g} s CPU" if known else ""
        yield f"  a trial   {found.wall_s:.3g} s, {found.cpu_s:.3g} s CPU, {rss} MB{beside}"
    if known is not None and known.best is not None:
        sd = found.noise.sd if found is not None else known.sd
        times = f", {known.headroom / sd:.0f} sd" if sd else ""
        by = f" by {' '.join(known.script)}" if known.script else ""
        yield f"  headroom  {known.headroom:.3g}{times}: best {target.metric} {known.best:.5g}{by}"
    if known is not None and known.numbers is not None:
        share = "" if math.isnan(known.numbers_share) else f", {100 * known.numbers_share:.0f} % of the headroom"
        yield f"  numbers   alone reach {target.metric} {known.numbers:.5g}{share}"


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


def _forbidden(sources: Sources) -> list[str]:
    return list(sources.target.search.forbid) if sources.target is not None else []


def _ours(name: str) -> bool:
    spec = find_spec(name)
    return spec is not None and spec.origin is not None and Path(spec.origin).is_relative_to(PACKAGE_ROOT)
