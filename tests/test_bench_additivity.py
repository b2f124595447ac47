"""What single edits gain, beside what they gain together."""

from __future__ import annotations

import math

from bench.additivity import compare, gains_of, tell
from harness.landscape.store import find_landscape, read_landscape
from harness.landscape.table import Stage


def test_scripts_whose_edits_are_all_known_alone_are_compared_with_their_sum():
    gains = {(): 0.0, ("a",): 1.0, ("b",): 2.0, ("a", "b"): 2.5, ("a", "c"): 4.0}
    assert list(compare(gains)) == [(2, 3.0, 2.5)]


def test_a_line_tells_of_scripts_of_like_length_where_there_are_five():
    pairs = [(2, 3.0, 2.0)] * 4
    assert not list(tell("toy", pairs))
    (line,) = tell("toy", [*pairs, (2, 3.0, 7.0), (5, 1.0, 1.0)])
    assert line == "toy         2 edits,   5 scripts: the sum is  3.00, together  3.00"


def test_the_run_that_an_edit_was_picked_by_does_not_count():
    table, _ = read_landscape(find_landscape("tabular"))
    gains = gains_of(table)
    later = {row.script for row in table.rows if row.ok and row.stage is not Stage.SINGLES}
    assert gains.keys() == later
    assert len(later) < len({row.script for row in table.rows if row.ok})
    assert math.isclose(gains[()], 0.0, abs_tol=1e-9)
    assert max(gains.values()) > 4.0  # another loss, which is better: the metric is minimized
