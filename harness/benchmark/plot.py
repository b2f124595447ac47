"""Regret over trials as an SVG: a line per policy, the interquartile mean over all runs, with its 95 % interval as a band."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from harness.benchmark.statistics import estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.benchmark.statistics import Estimate
    from harness.benchmark.table import Standings

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 440, 60, 120, 20, 50
_POINTS = 24  # along a line
_DRAWS = 300  # of a bootstrap per point
# Source: Okabe and Ito 2008, colours that people with colour blindness tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def regret_svg(standings: Standings) -> str:
    """Draw the chart."""
    numbers = np.unique(np.linspace(1, standings.n_trials, _POINTS).round().astype(int)).tolist()
    lines = {
        policy: [estimate(1.0 - standings.at(policy, number), n_draws=_DRAWS) for number in numbers]
        for policy in standings.policies
    }
    top = max(1.0, *(each.high for line in lines.values() for each in line))
    return "\n".join(_draw(standings.n_trials, numbers, lines, top))


def _draw(n_trials: int, numbers: Sequence[int], lines: dict[str, list[Estimate]], top: float) -> Iterator[str]:
    def x(number: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * number / n_trials

    def y(regret: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - regret / top)

    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="13">'
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    for regret in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield f'<path d="M{x(0):.1f} {y(regret):.1f}H{x(n_trials):.1f}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(regret) + 4:.1f}" text-anchor="end">{regret:g}</text>'
    for number in range(0, n_trials + 1, max(1, n_trials // 4)):
        yield f'<text x="{x(number):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{number}</text>'
    yield f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">trials</text>'
    yield f'<text transform="translate(16 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">regret of the incumbent (true value)</text>'
    for index, (policy, line) in enumerate(lines.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        middle = " ".join(f"{x(n):.1f},{y(each.value):.1f}" for n, each in zip(numbers, line, strict=True))
        above = [f"{x(n):.1f},{y(each.high):.1f}" for n, each in zip(numbers, line, strict=True)]
        below = [f"{x(n):.1f},{y(each.low):.1f}" for n, each in zip(numbers, line, strict=True)]
        yield f'<polygon points="{" ".join([*above, *reversed(below)])}" fill="{colour}" opacity="0.12"/>'
        yield f'<polyline points="{middle}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{_WIDTH - _RIGHT + 10}" y="{_TOP + 16 + 18 * index}" fill="{colour}">{escape(policy)}</text>'
    yield "</svg>\n"
