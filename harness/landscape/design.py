"""Which scripts a table measures, and in which order: a pure function of the target's edits, a seed, a size and what is known so far.

Stages, each after the one before, because what is worth measuring depends on what was measured:

1. baseline: the unedited target on seeds 0 to 7. What else runs, runs on one of these, so every gain is taken on one seed.
2. singles: all edits of the target, alone, on seed 0. Of kinds that preserve what is computed only a sample runs.
3. repeats: some of the best, of the worse and of those between, on two more seeds each: how noise grows and what of it is shared.
4. deep: random scripts of 7 to 16 edits, as long as those at the end of a campaign: most edits of them good, some that did nothing.
5. pairs: all of the best edits with each other; at random, each kind as likely; of a good one with one that did nothing.
6. longer: walks as a greedy campaign would take them, of up to six edits, and random subsets of the best edits.
7. confirmed: the best scripts on two more seeds. The best of many is lucky on the seed that chose it.

Edits at one site are never combined, in deep scripts none that conflict either: long ones drawn at random nearly always do. A smaller
size takes less of the later stages; one that does not hold all singles takes some of them, in a random order.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from harness.landscape.table import Row, Script, Stage
from policy.draw import open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from random import Random

REPLICATES = 8  # of the unedited target
PRESERVING_RUN = 12  # of the edits that change nothing: enough to see that they do
_REPEATED_AT_MOST = 80  # scripts; a share of noise is known to a tenth with that many
_BEST = 20  # edits whose pairs are all measured
_NEUTRAL_SD = 1.0  # what changes less did nothing
_WALK_ROUNDS, _WALK_WIDTH = 5, 3  # a walk tries so many edits per step, and takes the best if it is better
_SUBSET_POOL = 30
_WALK_GOOD = 0.7  # of the edits that a walk tries, share of good ones
_DEEP_AT_MOST = 120  # scripts
_DEEP_EDITS = (7, 16)


@dataclass(frozen=True, slots=True)
class Single:
    """An edit as the design sees it."""

    address: str
    kind: str
    site: str
    preserves: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a design is drawn from."""

    singles: tuple[Single, ...]
    sign: float  # +1.0 where more is better
    seed: int
    size: int  # runs in all
    conflicts: frozenset[Script] = frozenset()  # pairs of addresses, sorted

    def stream(self, purpose: str, number: int = 0) -> Random:
        """Return the random stream of one purpose."""
        return open_stream(self.seed, f"landscape/{purpose}", number)

    @property
    def sites(self) -> Mapping[str, str]:
        """Address -> site."""
        return {single.address: single.site for single in self.singles}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A script that the design asks for."""

    stage: Stage
    script: Script
    seed: int
    runs: bool = True  # or is known to be the unedited target in other words


class Seen:
    """What the stages so far have found."""

    def __init__(self, sign: float) -> None:
        self._sign = sign
        self._metrics: defaultdict[Script, dict[int, float]] = defaultdict(dict)
        self._sd = 1.0

    def add(self, row: Row) -> None:
        """Take note of a row; only what has a metric of its own counts."""
        if row.ok and row.seed is not None:
            self._metrics[row.script][row.seed] = row.metric
            if not row.script and len(self._metrics[()]) > 1:
                self._sd = stdev(self._metrics[()].values()) or 1.0

    @property
    def scripts(self) -> tuple[Script, ...]:
        """What has a metric, sorted."""
        return tuple(sorted(self._metrics))

    def n_seeds(self, script: Script) -> int:
        """Count the seeds that a script has a metric on."""
        return len(self._metrics.get(script, ()))

    def gain(self, script: Script) -> float:
        """Return the mean gain over the unedited target on the same seeds, in its standard deviations; NaN without a metric."""
        base = self._metrics[()]
        gains = [
            self._sign * (metric - base[seed]) for seed, metric in self._metrics.get(script, {}).items() if seed in base
        ]
        return fmean(gains) / self._sd if gains else math.nan


def missing(plan: Plan, rows: Sequence[Row]) -> tuple[Wanted, ...]:
    """Return what the first incomplete stage lacks, in its order; nothing when the design is complete."""
    there = {(row.script, row.seed): row for row in rows}
    seen = Seen(plan.sign)
    for ask in _steps(plan):
        asked = ask(plan, seen)
        found = [there.get((each.script, each.seed)) or there.get((each.script, None)) for each in asked]
        if lacking := tuple(each for each, row in zip(asked, found, strict=True) if row is None):
            return lacking
        for row in found:
            assert row is not None
            seen.add(row)
    return ()


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How many runs each stage has."""

    singles: int
    repeated: int  # scripts
    deep: int
    pairs: int
    walks: int
    subsets: int
    confirmed: int  # scripts


def _sizes(plan: Plan) -> _Sizes:
    n_preserving = sum(single.preserves for single in plan.singles)
    n_singles = len(plan.singles) - max(0, n_preserving - PRESERVING_RUN)
    room = max(0, plan.size - REPLICATES)
    singles, rest = min(n_singles, room), max(0, room - n_singles)
    repeated = min(rest // 8, _REPEATED_AT_MOST)
    confirmed = rest // 33
    deep = min(rest // 4, _DEEP_AT_MOST)
    rest -= 2 * (repeated + confirmed) + deep
    pairs = rest // 2
    walks = (rest - pairs) // 2 // (_WALK_ROUNDS * _WALK_WIDTH)
    return _Sizes(singles, repeated, deep, pairs, walks, rest - pairs - walks * _WALK_ROUNDS * _WALK_WIDTH, confirmed)


def _steps(plan: Plan) -> Iterator[Callable[[Plan, Seen], tuple[Wanted, ...]]]:
    yield from (_baseline, _singles, _repeats, _deep, _pairs, _subsets)
    for number in range(_WALK_ROUNDS):
        yield partial(_walk_round, number=number)
    yield _confirmed


def _baseline(plan: Plan, seen: Seen) -> tuple[Wanted, ...]:
    return tuple(Wanted(Stage.BASELINE, (), seed) for seed in range(min(REPLICATES, plan.size)))


def _singles(plan: Plan, seen: Seen) -> tuple[Wanted, ...]:
    """Ask for all; those that change nothing beyond the sample come last and do not count, because they need no run."""
    order = list(plan.singles)
    plan.stream("singles").shuffle(order)
    preserving = [single for single in order if single.preserves]
    beyond = set(preserving[PRESERVING_RUN:])
    chosen = [single for single in order if single not in beyond][: _sizes(plan).singles]
    asked = [Wanted(Stage.SINGLES, (single.address,), 0) for single in chosen]
    return (
        *asked,
        *(Wanted(Stage.SINGLES, (single.address,), 0, runs=False) for single in preserving[PRESERVING_RUN:]),
    )


def _repeats(plan: Plan, seen: Seen) -> tuple[Wanted, ...]:
    """Ask for two more seeds of the best third, and of as many that did nothing and that are worse; the seeds take turns."""
    wanted = _sizes(plan).repeated
    ranked = _ranked(plan, seen)
    best, others = ranked[: wanted // 3], ranked[wanted // 3 :]
    neutral = [single for single in others if abs(seen.gain((single.address,))) < _NEUTRAL_SD]
    worse = [single for single in others if seen.gain((single.address,)) <= -_NEUTRAL_SD]
    stream = plan.stream("repeats")
    for group in (neutral, worse):
        stream.shuffle(group)
    chosen = [*best, *neutral[: wanted // 3], *worse[: wanted - 2 * (wanted // 3)]]
    seeds = range(1, REPLICATES)
    return tuple(
        Wanted(Stage.REPEATS, (single.address,), seeds[(2 * number + more) % len(seeds)])
        for number, single in enumerate(chosen)
        for more in range(2)
    )


def _deep(plan: Plan, seen: Seen) -> tuple[Wanted, ...]:
    wanted, (good, neutral) = _sizes(plan).deep, _split(plan, seen)
    stream, scripts = plan.stream("deep"), dict[Script, None]()
    for _ in _tries(wanted if good else 0):
        if len(scripts) >= wanted:
            break
        script = _draw_deep(plan, stream, (good, neutral or good), stream.randint(*_DEEP_EDITS))
        if len(script) >= _DEEP_EDITS[0]:
            scripts[script] = None
    return tuple(Wanted(Stage.DEEP, script, 0) for script in scripts)


def _draw_deep(plan: Plan, stream: Random, pools: tuple[Sequence[Single], Sequence[Single]], n_edits: int) -> Script:
    """Draw edits that can be applied together, at most so many."""
    chosen: list[Single] = []
    for _ in _tries(n_edits):
        if len(chosen) == n_edits:
            break
        more = stream.choice(pools[stream.random() >= _WALK_GOOD])
        if _fit([*chosen, more]) and all(_script(more, other) not in plan.conflicts for other in chosen):
            chosen.append(more)
    return _script(*chosen)


def _pairs(plan: Plan, seen: Seen) -> tuple[Wanted, ...]:
    wanted, ranked = _sizes(plan).pairs, _ranked(plan, seen)
    best = _apart(ranked, _BEST)
    while len(best) * (len(best) - 1) > wanted:
        best.pop()
    scripts = dict.fromkeys(_script(*pair) for pair in combinations(best, 2))
    good, neutral = _split(plan, seen)
    by_kind = defaultdict(list)
    for single in ranked:
        by_kind[single.kind].append(single)
    stream = plan.stream("pairs")
    for number in _tries(wanted):
        if len(scripts) >= wanted:
            break
        if number % 2 and good and neutral:
            pair = [stream.choice(good), stream.choice(neutral)]
        elif by_kind:
            pair = [stream.choice(by_kind[stream.choice(sorted(by_kind))]) for _ in range(2)]
        else:
            break
        if _fit(pair):
            scripts[_script(*pair)] = None
    return tuple(Wanted(Stage.PAIRS, script, 0) for script in scripts)


def _subsets(plan: Plan, seen: Seen) -> tuple[Wanted, ...]:
    wanted, pool = _sizes(plan).subsets, _split(plan, seen)[0][:_SUBSET_POOL]
    stream, scripts = plan.stream("subsets"), dict[Script, None]()
    for _ in _tries(wanted):
        if len(scripts) >= wanted:
            break
        chosen = _apart(stream.sample(pool, len(pool)), stream.randint(3, 6))
        if len(chosen) > 2:
            scripts[_script(*chosen)] = None
    return tuple(Wanted(Stage.LONGER, script, 0) for script in scripts)


def _walk_round(plan: Plan, seen: Seen, *, number: int) -> tuple[Wanted, ...]:
    """Ask for what the walks try in one of their rounds: they are where the rounds before have led them."""
    good, neutral = _split(plan, seen)
    asked = {}
    for walk in range(_sizes(plan).walks if good else 0):
        script: Script = (plan.stream("walk", walk).choice(good).address,)
        for earlier in range(number):
            tried = _steps_from(plan, script, (good, neutral), (walk, earlier))
            reached = max((step for step in tried if not math.isnan(seen.gain(step))), key=seen.gain, default=script)
            script = reached if seen.gain(reached) > seen.gain(script) else script
        asked.update(dict.fromkeys(_steps_from(plan, script, (good, neutral), (walk, number))))
    return tuple(Wanted(Stage.LONGER, script, 0) for script in asked)


def _steps_from(
    plan: Plan, script: Script, pools: tuple[Sequence[Single], Sequence[Single]], at: tuple[int, int]
) -> tuple[Script, ...]:
    """Return what a walk tries after a script: mostly good edits, some that did nothing alone."""
    stream = plan.stream(f"step {at[1]}", at[0])
    sites, taken = plan.sites, set(script)
    used, steps = {sites[address] for address in taken}, dict[Script, None]()
    for _ in _tries(_WALK_WIDTH):
        if len(steps) >= _WALK_WIDTH:
            break
        pool = pools[0] if stream.random() < _WALK_GOOD or not pools[1] else pools[1]
        step = stream.choice(pool)
        if step.site not in used:
            steps[tuple(sorted((*script, step.address)))] = None
    return tuple(steps)


def _confirmed(plan: Plan, seen: Seen) -> tuple[Wanted, ...]:
    ranked = sorted((s for s in seen.scripts if s and seen.n_seeds(s) == 1), key=seen.gain, reverse=True)
    return tuple(
        Wanted(Stage.CONFIRMED, script, seed) for script in ranked[: _sizes(plan).confirmed] for seed in (1, 2)
    )


def _ranked(plan: Plan, seen: Seen) -> list[Single]:
    """Return the edits that have a metric alone, the best first; those that change nothing are left out."""
    measured = [s for s in plan.singles if not s.preserves and not math.isnan(seen.gain((s.address,)))]
    return sorted(measured, key=lambda single: (-seen.gain((single.address,)), single.address))


def _split(plan: Plan, seen: Seen) -> tuple[list[Single], list[Single]]:
    """Return the edits that are better alone, best first, and those that do nothing."""
    ranked = _ranked(plan, seen)
    good = [single for single in ranked if seen.gain((single.address,)) >= _NEUTRAL_SD] or ranked[:_BEST]
    return good, [single for single in ranked if abs(seen.gain((single.address,))) < _NEUTRAL_SD]


def _apart(singles: Sequence[Single], n: int) -> list[Single]:
    """Return the first n edits that are at different sites."""
    chosen: dict[str, Single] = {}
    for single in singles:
        if len(chosen) < n:
            chosen.setdefault(single.site, single)
    return list(chosen.values())


def _fit(pair: Sequence[Single]) -> bool:
    return len({single.site for single in pair}) == len(pair)


def _script(*singles: Single) -> Script:
    return tuple(sorted(single.address for single in singles))


def _tries(wanted: int) -> range:
    """Bound how often something is drawn that may not fit."""
    return range(20 * wanted + 100)
