"""What every landscape shares: how much of what can be gained a script gains."""

import math
from dataclasses import dataclass

import pytest

from graph.code_graph import CodeGraph
from harness.landscape.landscape import Landscape, share_gained
from harness.sources import open_sources
from mutator.edit import Edit
from targets.manifest import Direction


@dataclass(frozen=True)
class _Additive:
    """A landscape in which edit number i adds i to the metric; the edit with the highest number crashes."""

    edits: tuple[Edit, ...]
    graph: CodeGraph
    direction: Direction
    best: float
    name: str = "additive"
    baseline: float = 1.0
    sd: float = 0.5

    def legal(self, script):
        return tuple(edit for edit in self.edits if edit.site not in {other.site for other in script})

    def value(self, script):
        numbers = [self.edits.index(edit) for edit in script]
        return math.nan if len(self.edits) - 1 in numbers else self.baseline + sum(numbers)

    def measure(self, script, seed):
        return self.value(script) + self.sd * seed


def _additive(direction: Direction, best: float) -> Landscape:
    code = open_sources("toy").code
    return _Additive(tuple(code.edits())[:5], code.graph, direction, best)


@pytest.mark.parametrize(("direction", "sign"), [(Direction.MAXIMIZE, 1), (Direction.MINIMIZE, -1)])
def test_the_best_gains_all_and_worse_gains_less_than_nothing(direction: Direction, sign: int):
    landscape = _additive(direction, best=1.0 + sign * 3.0)
    assert share_gained(landscape, ()) == 0.0
    assert share_gained(landscape, landscape.edits[3:4]) == sign
    assert share_gained(landscape, landscape.edits[1:2]) == pytest.approx(sign / 3)


def test_what_crashes_gains_no_number():
    assert math.isnan(
        share_gained(_additive(Direction.MAXIMIZE, best=4.0), _additive(Direction.MAXIMIZE, 4.0).edits[4:])
    )


def test_nothing_is_gained_where_the_unedited_target_is_the_best():
    landscape = _additive(Direction.MAXIMIZE, best=1.0)
    assert share_gained(landscape, landscape.edits[2:3]) == 0.0
