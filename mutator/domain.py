"""Domains: what may be chosen at a site. Each axis has a name; a choice picks one value per axis.

An axis is finite, or a range with a grid: `options` enumerates the grid, and a range `holds` every value between its ends, so that a
person or a policy may pick 0.68 where the grid offers 0.5 and 0.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from mutator.edit import Choice, Scalar, print_scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class OneOf:
    """A closed set of values."""

    grid: tuple[Scalar, ...]

    def read(self, value: Scalar) -> Scalar | None:
        """Return the value as the axis means it (2 is 2.0 where floats are chosen), None when it holds no such value."""
        return next(
            (known for known in self.grid if known == value and isinstance(known, bool) is isinstance(value, bool)),
            None,
        )

    def __str__(self) -> str:
        return "|".join(print_scalar(value) for value in self.grid)


@dataclass(frozen=True, slots=True)
class Between:
    """All numbers from low to high, both included: whole ones when the ends are; `multiple_of` leaves out what it does not divide."""

    low: float
    high: float
    grid: tuple[Scalar, ...]
    multiple_of: int = 1

    def read(self, value: Scalar) -> Scalar | None:
        """Return the value as the axis means it, None when it lies outside."""
        if isinstance(value, str | bool) or not self.low <= value <= self.high:
            return None
        if isinstance(self.low, float):
            return float(value)
        return int(value) if value == int(value) and value % self.multiple_of == 0 else None

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


Axis = OneOf | Between


@dataclass(frozen=True, slots=True)
class Domain:
    """The axes of a choice, sorted by name; none where there is nothing to choose."""

    axes: tuple[tuple[str, Axis], ...] = ()

    def options(self) -> Iterator[Choice]:
        """Walk the choices of the grid, the last axis fastest."""
        names = [name for name, _ in self.axes]
        return (tuple(zip(names, values, strict=True)) for values in product(*(axis.grid for _, axis in self.axes)))

    def read(self, choice: Choice) -> Choice | None:
        """Return a choice with its values as the axes mean them; None when it is not held."""
        if [name for name, _ in choice] != [name for name, _ in self.axes]:
            return None
        values = [axis.read(value) for (_, axis), (_, value) in zip(self.axes, choice, strict=True)]
        return (
            None
            if None in values
            else tuple((name, v) for (name, _), v in zip(choice, values, strict=True) if v is not None)
        )

    @property
    def size(self) -> int:
        """How many choices the grid has."""
        size = 1
        for _, axis in self.axes:
            size *= len(axis.grid)
        return size

    def __str__(self) -> str:
        return "&".join(f"{name}={axis}" for name, axis in self.axes) or "nothing to choose"


NOTHING_TO_CHOOSE = Domain()


def choose(**axes: Axis | Iterable[Scalar]) -> Domain:
    """Return the product of named axes; plain values are a closed set: `choose(to=["SGD", "Adam"], lr=Between(0.1, 10.0, (0.3, 3.0)))`."""
    made = ((name, axis if isinstance(axis, OneOf | Between) else OneOf(tuple(axis))) for name, axis in axes.items())
    return Domain(tuple(sorted(made, key=lambda pair: pair[0])))
