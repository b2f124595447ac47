"""A landscape in lines of text: what was measured, how noisy it is, what is good, what the surrogate is worth, what it was made with."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from harness.landscape.model import read_rows
from harness.landscape.table import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.landscape.model import Model
    from harness.landscape.table import Script, Table

_SHOWN = 8  # of the best singles, pairs and longer scripts
_EDGES = (-math.inf, -10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, math.inf)  # of the histogram, sd
_BAR = 40  # characters of the longest bar


@dataclass(frozen=True, slots=True)
class Standing:
    """A script and what it gains, in sd over the unedited target, with its number of seeds."""

    script: Script
    gain: float
    metric: float
    n_seeds: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is said of a landscape."""

    table: Table
    model: Model
    standings: tuple[Standing, ...]  # of all that has a metric, the best first
    warnings: tuple[str, ...]

    def best(self, fewest: int, most: int) -> tuple[Standing, ...]:
        """Return the best scripts of so many edits."""
        return tuple(each for each in self.standings if fewest <= len(each.script) <= most)[:_SHOWN]


def gather(table: Table, model: Model, *, warnings: Sequence[str] = ()) -> Facts:
    """Work out what is said of a landscape."""
    reading = read_rows(table)
    observed = reading.observed(model.noise, sign=table.provenance.sign)
    scripts = [script for script in reading.metrics if script]
    standings = [
        Standing(script, float(gain), sum(found.values()) / len(found), len(found))
        for script, gain in zip(scripts, observed.gains, strict=True)
        if (found := reading.metrics[script])
    ]
    ranked = sorted(standings, key=lambda each: (-each.gain, each.script))
    return Facts(table, model, tuple(ranked), tuple(warnings))


def to_json(facts: Facts) -> Mapping[str, Any]:
    """Return the facts for other programs; a number that is not finite is null."""
    table, model, crashes = facts.table, facts.model, read_rows(facts.table).crashes
    link = {name: value if math.isfinite(value) else None for name, value in asdict(model.surrogate.link).items()}
    return {
        "provenance": asdict(table.provenance),
        "environments": [asdict(each) for each in table.environments],
        "warnings": facts.warnings,
        "counts": {stage: dict(found) for stage, found in _counts(table).items()},
        "cpu_s": sum(row.cpu_s for row in table.rows),
        "noise": asdict(model.noise),
        "surrogate": {**asdict(model.surrogate), "link": link},
        "crashes": {name: getattr(crashes, name) for name in ("overall", "n_tried", "brier", "brier_overall")},
        "best": [asdict(each) for most in ((1, 1), (2, 2), (3, 99)) for each in facts.best(*most)],
        "histogram": [asdict_bin(*each) for each in _histogram(facts)],
    }


def asdict_bin(low: float, high: float, n_singles: int, n_others: int) -> Mapping[str, float | None]:
    """Return a bin of the histogram for other programs."""
    edges = {"from": low, "to": high}
    finite = {name: edge if math.isfinite(edge) else None for name, edge in edges.items()}
    return {**finite, "singles": n_singles, "others": n_others}


def to_lines(facts: Facts) -> Iterator[str]:
    """Walk the lines of the text."""
    provenance, noise = facts.table.provenance, facts.model.noise
    yield (
        f"landscape  {provenance.target}: {provenance.metric}, {provenance.direction}; "
        f"design of {provenance.size:,} runs, seed {provenance.seed}"
    )
    yield from (f"warning    {each}" for each in facts.warnings)
    yield from _count_lines(facts.table)
    yield (
        f"noise      {provenance.metric} {noise.baseline:.5g} +- {noise.sd:.2g} between seeds; {noise.shared:.0%} shared by programs on "
        f"one seed, own variance x (1 + |gain in sd|)^{noise.growth:.1f}; from {noise.n_repeats:,} repeats"
    )
    for name, (fewest, most) in {"singles": (1, 1), "pairs": (2, 2), "longer": (3, 99)}.items():
        for each in facts.best(fewest, most):
            seeds = f"{each.n_seeds} seed{'s' if each.n_seeds > 1 else ''}"
            yield f"{name:<9}  {each.gain:+6.1f} sd  {each.metric:.5g}  {seeds}  {' '.join(each.script)}"
    yield from _histogram_lines(facts)
    yield from _model_lines(facts)
    digests = (f"{name} {getattr(provenance, name)[:12]}" for name in ("sources", "manifest", "grammar"))
    yield f"made with  codegraft {provenance.codegraft}, {', '.join(digests)}"
    for place in facts.table.environments:
        threads = f"{place.threads} thread{'s' if place.threads > 1 else ''} of {place.cpu}"
        yield f"           python {place.python}, torch {place.torch}, {threads}"


def _counts(table: Table) -> Mapping[Stage, Counter[str]]:
    counts = {stage: Counter[str]() for stage in Stage}
    for row in table.rows:
        counts[row.stage][row.status] += 1
    return counts


def _count_lines(table: Table) -> Iterator[str]:
    n_runs, cpu_s = sum(row.seed is not None for row in table.rows), sum(row.cpu_s for row in table.rows)
    yield f"rows       {len(table.rows):,}, of which {n_runs:,} ran, {cpu_s / 3600:.2f} h of CPU"
    for stage, found in _counts(table).items():
        if found:
            said = ", ".join(f"{number:,} {status}" for status, number in found.most_common())
            yield f"{stage:<9}  {said}"


def _histogram(facts: Facts) -> Iterator[tuple[float, float, int, int]]:
    for low, high in pairwise(_EDGES):
        inside = [each for each in facts.standings if low <= each.gain < high]
        n_singles = sum(len(each.script) == 1 for each in inside)
        yield low, high, n_singles, len(inside) - n_singles


def _histogram_lines(facts: Facts) -> Iterator[str]:
    bins = list(_histogram(facts))
    most = max((singles + others for _, _, singles, others in bins), default=0) or 1
    yield "gains      in sd over the unedited target; # singles, + others"
    for low, high, singles, others in bins:
        bar = "#" * round(_BAR * singles / most) + "+" * round(_BAR * others / most)
        yield f"{low:>6.0f} to {high:>3.0f}  {singles + others:>5,}  {bar}".rstrip()


def _model_lines(facts: Facts) -> Iterator[str]:
    surrogate, crashes = facts.model.surrogate, read_rows(facts.table).crashes
    link = f"knee {surrogate.link.knee:.3g} sd, ceiling {surrogate.link.ceiling:.3g} sd"
    yield f"surrogate  {link}; errors on held-out scripts, noise included:"
    for each in surrogate.errors:
        yield f"           {each.n_edits:<2} edits  n {each.n:<5,}  rmse {each.rmse:6.2f} sd  rank {each.rank:5.2f}  {each.predictor}"
    if not surrogate.errors:
        yield "           none: fewer than 10 scripts of several edits were measured"
    yield (
        f"crashes    {crashes.overall:.1%} of pairs of edits that run alone; Brier {crashes.brier:.3f} by kinds, "
        f"{crashes.brier_overall:.3f} by that share ({crashes.n_tried:,} pairs)"
    )
