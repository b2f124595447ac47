"""The geometry of the progress chart and of the strips per edit kind: where every mark lies, in SVG user units.

The y axis shows what can matter: the kept programs, the noise band, and at least half of the measured trials. A trial that lies
farther out is drawn at the edge and counted, so that one diverged run does not press the others into a line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from harness.report.facts import Fate, fate
from harness.report.text import number_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.report.facts import KindFacts
    from harness.values import Outcome, Trial
    from harness.verdict import Noise

# The plot inside the template's view box of 1000 x 430: values stand on its right, failed trials in a lane below it.
LEFT, RIGHT, TOP, BOTTOM = 64.0, 884.0, 30.0, 352.0
STRIP_WIDTH = 220.0
BAND_SD = 2.0  # half height of the noise band
_REACH = 1.5  # how far from the baseline a trial is still inside, in units of what must be seen
_GLYPH = 6.2  # mean width of a character in a label of 11 px
_LABEL = 30.0  # least distance between the two values at the right edge
_WITHOUT_METRIC = frozenset({Fate.STOPPED, Fate.FAILED})


@dataclass(frozen=True, slots=True)
class Mark:
    """One trial on the chart."""

    trial: Trial
    fate: Fate
    x: float
    y: float
    seeds: tuple[float, ...]  # y of every seed of a kept trial
    outside: bool  # drawn at the edge: its metric lies beyond the window


@dataclass(frozen=True, slots=True)
class Text:
    """A word on the chart."""

    x: float
    y: float
    text: str
    anchor: str  # start | end: which end of the text stands at x


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the template draws."""

    marks: tuple[Mark, ...]  # of the trials that ran
    failed: tuple[Mark, ...]
    replicates: tuple[float, ...]  # y of the baseline's runs
    baseline: float
    band: tuple[float, float]  # y of its upper and lower edge
    step: tuple[tuple[float, float], ...]  # corners of the incumbent's line
    x_ticks: tuple[tuple[float, str], ...]  # x and its number
    y_ticks: tuple[tuple[float, str], ...]  # y and its number
    labels: tuple[Text, ...]  # of kept trials, as many as fit
    baseline_label: float
    incumbent_label: float

    @property
    def above(self) -> tuple[Trial, ...]:
        """The trials beyond the upper edge."""
        return tuple(mark.trial for mark in self.marks if mark.outside and mark.y < (TOP + BOTTOM) / 2)

    @property
    def below(self) -> tuple[Trial, ...]:
        """The trials beyond the lower edge."""
        return tuple(mark.trial for mark in self.marks if mark.outside and mark.y > (TOP + BOTTOM) / 2)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    last: int  # the trial at the right edge

    def x(self, number: int) -> float:
        return LEFT + 14 + (RIGHT - LEFT - 28) * number / self.last

    def y(self, metric: float) -> float:
        share = (min(max(metric, self.low), self.high) - self.low) / (self.high - self.low)
        return max(TOP, BOTTOM - (BOTTOM - TOP) * share)  # a share of 1 may round to beyond the edge


def draw_chart(trials: Sequence[Trial], baseline: Sequence[Outcome], noise: Noise, *, sign: float) -> Chart:
    """Lay the trials of a campaign out. Gains point down when the metric is minimized (sign -1), as its values do."""
    replicates = [outcome.metric for outcome in baseline if outcome.ok]
    scale = _fit_scale(trials, replicates, noise)
    marks = tuple(_mark(trial, scale) for trial in trials)
    ran = tuple(mark for mark in marks if mark.fate not in _WITHOUT_METRIC)
    step = _step([mark for mark in ran if mark.fate is Fate.KEPT], scale.y(noise.mean), scale)
    baseline_label, incumbent_label = _spread(scale.y(noise.mean), step[-1][1])
    return Chart(
        marks=ran,
        failed=tuple(mark for mark in marks if mark.fate in _WITHOUT_METRIC),
        replicates=tuple(scale.y(metric) for metric in replicates),
        baseline=scale.y(noise.mean),
        band=(scale.y(noise.mean + BAND_SD * noise.sd), scale.y(noise.mean - BAND_SD * noise.sd)),
        step=step,
        x_ticks=tuple(
            (scale.x(round(tick)), f"{tick:.0f}") for tick in _ticks(0, scale.last, 8) if tick == round(tick)
        ),
        y_ticks=_y_ticks(scale),
        labels=_place_labels(ran, step, sign),
        baseline_label=baseline_label,
        incumbent_label=incumbent_label,
    )


def strip_reach(kinds: Iterable[KindFacts]) -> float:
    """Return the gain at the right end of every strip, in sd: all keeps are inside, what diverged is not."""
    gains = [(trial, gain) for kind in kinds for trial, gain in kind.gains_sd]
    kept = [gain for trial, gain in gains if trial.kept]
    return float(math.ceil(max([4.0, *kept, 2 * median(abs(gain) for _, gain in gains) if gains else 0.0])))


def strip_marks(kind: KindFacts, reach: float) -> tuple[Mark, ...]:
    """Lay the gains of one kind out: no gain in the middle, gains to the right, at most `reach` sd from it."""
    half = STRIP_WIDTH / 2

    def place(trial: Trial, gain: float) -> Mark:
        x = half + (half - 5) * min(max(gain / reach, -1.0), 1.0)
        return Mark(trial, fate(trial), x, 0.0, (), outside=abs(gain) > reach)

    return tuple(place(trial, gain) for trial, gain in kind.gains_sd)


def _fit_scale(trials: Sequence[Trial], replicates: Sequence[float], noise: Noise) -> _Scale:
    metrics = [trial.metric for trial in trials if trial.ok]
    distances = [abs(metric - noise.mean) for metric in metrics]
    kept = [abs(trial.metric - noise.mean) for trial in trials if trial.kept]
    spread = [abs(metric - noise.mean) for metric in replicates]
    must_show = max([4 * noise.sd, *kept, *spread, median(distances) if distances else 0.0])
    reach = _REACH * must_show
    seen = [metric for metric in metrics if abs(metric - noise.mean) <= reach]
    seen += [*replicates, noise.mean - 3 * noise.sd, noise.mean + 3 * noise.sd]
    margin = 0.08 * (max(seen) - min(seen))
    return _Scale(min(seen) - margin, max(seen) + margin, max((trial.number for trial in trials), default=10))


def _mark(trial: Trial, scale: _Scale) -> Mark:
    x = scale.x(trial.number)
    if fate(trial) in _WITHOUT_METRIC:
        return Mark(trial, fate(trial), x, BOTTOM, (), outside=False)
    seeds = tuple(scale.y(outcome.metric) for outcome in trial.outcomes) if trial.kept else ()
    outside = not scale.low <= trial.metric <= scale.high
    return Mark(trial, fate(trial), x, scale.y(trial.metric), seeds, outside=outside)


def _step(kept: Sequence[Mark], start: float, scale: _Scale) -> tuple[tuple[float, float], ...]:
    corners = [(scale.x(0), start)]
    for mark in kept:
        x = max(mark.x, corners[-1][0])  # a trial that overtook an older one was kept before it
        corners += [(x, corners[-1][1]), (x, mark.y)]
    return (*corners, (RIGHT, corners[-1][1]))


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) inside a range."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _y_ticks(scale: _Scale) -> tuple[tuple[float, str], ...]:
    ticks = _ticks(scale.low, scale.high, 6)
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return tuple((scale.y(tick), number_text(tick, decimals)) for tick in ticks)


def _spread(first: float, second: float) -> tuple[float, float]:
    """Push two values apart until both can be read; the upper one stays the upper one."""
    if abs(first - second) >= _LABEL:
        return first, second
    middle, half = (first + second) / 2, _LABEL / 2
    return (middle - half, middle + half) if first < second else (middle + half, middle - half)


_Box = tuple[float, float, float, float]  # left, top, right, bottom


def _place_labels(marks: Sequence[Mark], step: Sequence[tuple[float, float]], sign: float) -> tuple[Text, ...]:
    """Name the kept trials, largest gain first, on the better side of the incumbent's line, where few other marks lie."""
    kept = sorted((mark for mark in marks if mark.fate is Fate.KEPT), key=lambda mark: -mark.trial.verdict.gain)
    hollow = [mark for mark in marks if mark.fate is Fate.NOT_PROVEN]
    taken: list[_Box] = [(mark.x - 5, mark.y - 5, mark.x + 5, mark.y + 5) for mark in (*kept, *hollow)]
    taken += [(min(x, u) - 2, min(y, v) - 2, max(x, u) + 2, max(y, v) + 2) for (x, y), (u, v) in pairwise(step)]
    labels: list[Text] = []
    for mark in kept:
        label = next((text for text in _label_places(mark, sign) if _fits(_text_box(text), taken)), None)
        if label:
            labels.append(label)
            taken.append(_text_box(label))
    return tuple(labels)


def _label_places(mark: Mark, sign: float) -> Iterator[Text]:
    """Yield what a label may say and where, the best first: kind and place, then the kind, then the number alone."""
    number, (edit, *others) = mark.trial.number, mark.trial.script
    part, more = edit.site.replace(":", "/").rpartition("/")[2], f" +{len(others)}" if others else ""
    for text in (f"{number} {edit.kind} {part}{more}", f"{number} {edit.kind}{more}", str(number)):
        yield Text(mark.x - 9, mark.y + 4, text, "end")
        yield Text(mark.x - 6, mark.y + 4 - 12 * sign, text, "end")
        yield Text(mark.x + 8, mark.y + 4 - 12 * sign, text, "start")


def _fits(box: _Box, taken: Iterable[_Box]) -> bool:
    inside = box[0] > LEFT and box[1] > TOP and box[2] < RIGHT and box[3] < BOTTOM
    return inside and not any(_overlap(box, other) for other in taken)


def _text_box(text: Text) -> _Box:
    width = _GLYPH * len(text.text)
    left = text.x - (width if text.anchor == "end" else 0.0)
    return left, text.y - 10, left + width, text.y + 3


def _overlap(box: _Box, other: _Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
