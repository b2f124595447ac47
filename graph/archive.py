"""The archive: programs that are known, and how novel another one is among them.

A program lies where its features displace it to from the first one, the base; what it is worth as a novelty is its isolation, the
mean distance to the nearest of the known ones, as a rank: distances drift, an inserted block is 5, another repository 1000. An
index from features to the programs that they displace finds the nearest without comparing all: two programs that share no feature
are as far apart as the sum of their ways from the base. What it finds is compared in full, so the answer is that of brute force.

Source: Lehman and Stanley 2011, Abandoning Objectives: novelty search, with k nearest neighbours and an archive of bounded size.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from graph.features import Features, by_category, displacement, features, norm

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Place = Mapping[str, float]  # feature -> displacement from the base, without zeros
    _Way = tuple[str, bool]  # feature, and whether there is more of it than in the base

CAPACITY = 10_000  # programs; a night makes 300
_NEIGHBOURS = 10  # k of the k nearest; research in novelty search uses 10 to 15
_ROUNDING = 1e-6  # more than sums by the index can be off, and less than any step


class _Known(NamedTuple):
    """A program of the archive. Its isolation is that at which it came; the base has none."""

    place: _Place
    norm: float
    isolation: float


class Archive:
    """The programs that became known, in the order in which they did. The first one is the base, and always stays."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._base = Features(())
        self._known: dict[int, _Known] = {}  # by number
        self._index: defaultdict[_Way, dict[int, float]] = defaultdict(dict)  # way -> number -> length
        self._norms: list[tuple[float, int]] = []  # sorted, with numbers
        self._isolations: list[tuple[float, int]] = []  # of all but the base, sorted; the newer first where equal
        self._came = 0

    def __len__(self) -> int:
        return len(self._known)

    def add(self, files: Mapping[str, bytes]) -> None:
        """Make a program known; over the capacity, the least novel one is forgotten.

        Raises: GraphError: a file does not parse.
        """
        found = features(files)
        if not self._known:
            self._base = found
        place = displacement(found, self._base)
        number, known = self._came, _Known(place, norm(place), self._isolation(place))
        if self._known:
            insort(self._isolations, (known.isolation, -number))
        self._known[number] = known
        insort(self._norms, (known.norm, number))
        for feature, value in place.items():
            self._index[feature, value > 0.0][number] = abs(value)
        self._came += 1
        if len(self._known) > self._capacity and self._isolations:
            self._forget(-self._isolations[0][1])

    def novelty(self, files: Mapping[str, bytes]) -> float:
        """Rank a program among the known ones by its isolation: 0 for one that is known, at most 1.

        Raises: GraphError: a file does not parse.
        """
        isolation = self._isolation(displacement(features(files), self._base))
        if isolation == 0.0:
            return 0.0
        return (1 + bisect_left(self._isolations, (isolation, -math.inf))) / (1 + len(self._isolations))

    def reasons(self, files: Mapping[str, bytes]) -> dict[str, float]:
        """Say of what a program's isolation is made: category -> mean distance to the nearest known ones, the largest first.

        Raises: GraphError: a file does not parse.
        """
        place = displacement(features(files), self._base)
        nearest = self._nearest(place)
        sums: defaultdict[str, float] = defaultdict(float)
        for _, number in nearest:
            for category, way in by_category(_between(place, self._known[number].place)).items():
                sums[category] += norm(way) / len(nearest)
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    def _isolation(self, place: _Place) -> float:
        """Return the mean distance to the nearest known programs; 0 where one of them lies, whatever the others do."""
        distances = [distance for distance, _ in self._nearest(place)]
        return math.fsum(distances) / len(distances) if distances and distances[0] else 0.0

    def _nearest(self, place: _Place) -> list[tuple[float, int]]:
        """Return distance and number of the nearest known programs, the nearest first."""
        about = self._about(place)
        last = about[_NEIGHBOURS - 1][0] if len(about) >= _NEIGHBOURS else math.inf
        near = [number for distance, number in about if distance <= last + _ROUNDING]
        return sorted((norm(_between(place, self._known[n].place)), n) for n in near)[:_NEIGHBOURS]

    def _about(self, place: _Place) -> list[tuple[float, int]]:
        """Return, up to rounding, distance and number of the known programs that may be near, the nearest first."""
        own, shared = norm(place), self._shared(place)
        found = [(own + self._known[number].norm - 2 * common, number) for number, common in shared.items()]
        apart, last = 0, math.inf
        for length, number in self._norms:  # of those that share nothing, the nearest ones are next to the base
            if apart >= _NEIGHBOURS and length > last + _ROUNDING:
                break
            if number not in shared:
                apart, last = apart + 1, length if apart < _NEIGHBOURS else last
                found.append((own + length, number))
        return sorted(found)

    def _shared(self, place: _Place) -> Mapping[int, float]:
        """Return for the programs that lie in part the same way from the base: how much of the way."""
        shared: defaultdict[int, float] = defaultdict(float)
        for feature, value in place.items():
            length = abs(value)
            for number, other in self._index.get((feature, value > 0.0), {}).items():
                shared[number] += other if other < length else length  # noqa: FURB136  # min takes twice as long
        return shared

    def _forget(self, number: int) -> None:
        known = self._known.pop(number)
        self._isolations.remove((known.isolation, -number))
        self._norms.remove((known.norm, number))
        for feature, value in known.place.items():
            del self._index[feature, value > 0.0][number]


def _between(a: _Place, b: _Place) -> dict[str, float]:
    return {feature: a.get(feature, 0.0) - b.get(feature, 0.0) for feature in a.keys() | b.keys()}
