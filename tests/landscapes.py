"""Tables that were never measured, for tests of what reads one: toy's edits with known effects, interactions, crashes and noise."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations
from random import Random

from graph.complexity import Complexity
from harness.landscape.build import plan_of
from harness.landscape.design import Plan, Wanted, missing
from harness.landscape.model import Model, fit_model
from harness.landscape.table import Environment, Provenance, Row, Script, Table, provenance_of
from harness.sources import open_sources
from harness.values import Status
from mutator.shipped import default_grammar
from policy.draw import open_stream

BASELINE, SD = 1.0, 0.01
SHARED = 0.6  # of the noise's variance
ENVIRONMENT = Environment("3.11.7", "2.13.0", "a processor", 1)


@cache
def provenance(size: int) -> Provenance:
    sources = open_sources("toy")
    return provenance_of(sources.trainable, sources.snapshot, default_grammar(), seed=0, size=size)


@cache
def plan(size: int, seed: int = 0) -> Plan:
    return plan_of(open_sources("toy").code, sign=-1.0, seed=seed, size=size)


def true_gain(script: Script) -> float:
    """Say what a script is worth in sd: a sum of effects by edit and kind, and one per pair of kinds; NaN where it crashes."""
    if any(_draw("crash", address).random() < 0.04 for address in script):
        return math.nan
    effects = [_draw("kind", _kind(a)).gauss(-1.0, 2.0) + _draw("edit", a).gauss(0.0, 1.5) for a in script]
    pairs = [_draw("pair", *sorted((_kind(a), _kind(b)))).gauss(0.0, 2.5) for a, b in combinations(script, 2)]
    return sum(effects) + sum(pairs)


def measure(script: Script, seed: int) -> float:
    own = _draw("own", *script, str(seed)).gauss(0.0, math.sqrt(1.0 - SHARED))
    return BASELINE - SD * (true_gain(script) + own + common(seed))


def common(seed: int) -> float:
    """Say what a seed adds to all gains, in sd."""
    return _draw("common", str(seed)).gauss(0.0, math.sqrt(SHARED))


def answer(wanted: Wanted) -> Row:
    metric = measure(wanted.script, wanted.seed)
    status, grown = Status.FAILED if math.isnan(metric) else Status.OK, Complexity(0, 0, len(wanted.script))
    if not wanted.runs:
        return Row(wanted.stage, wanted.script, None, Status.DUPLICATE, math.nan, 0.0, 0.0, grown, same_as=())
    return Row(wanted.stage, wanted.script, wanted.seed, status, metric, 0.5, 0.25 * len(wanted.script), grown)


def carried_out(size: int, seed: int = 0) -> list[Row]:
    rows: list[Row] = []
    while wanted := missing(plan(size, seed), rows):
        rows += map(answer, wanted)
    return rows


@cache
def table(size: int = 450) -> Table:
    return Table(provenance(size), (ENVIRONMENT,), tuple(carried_out(size)))


@cache
def model() -> Model:
    return fit_model(table())


def _kind(address: str) -> str:
    return address.partition("@")[0]


def _draw(*words: str) -> Random:
    return open_stream(7, "/".join(words), 0)
