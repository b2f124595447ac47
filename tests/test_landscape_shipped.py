"""The landscapes that ship: of the targets as they ship, whole, and with something to find."""

import math
import statistics
from collections.abc import Sequence
from itertools import combinations
from random import Random

import pytest

from harness.landscape.lookup import TableLandscape, open_landscape
from harness.landscape.model import read_rows
from harness.landscape.store import find_landscape, read_landscape
from harness.landscape.table import provenance_of
from harness.sources import open_sources
from mutator.edit import Edit
from mutator.shipped import default_grammar
from targets.shipped import shipped_landscapes


@pytest.mark.parametrize("name", shipped_landscapes())
def test_a_landscape_that_ships_is_of_the_target_that_ships(name: str):
    provenance, sources = read_landscape(find_landscape(name))[0].provenance, open_sources(name)
    now = provenance_of(sources.trainable, sources.snapshot, default_grammar(), seed=0, size=0)
    assert provenance.target == name
    assert not list(provenance.differences(now))


@pytest.mark.parametrize("name", shipped_landscapes())
def test_every_single_edit_was_measured_but_for_those_that_change_nothing(name: str):
    alone = {row.script[0] for row in read_landscape(find_landscape(name))[0].rows if len(row.script) == 1}
    preserving = default_grammar().preserving
    assert {edit.address for edit in open_sources(name).code.edits() if edit.kind not in preserving} <= alone


@pytest.mark.parametrize("name", shipped_landscapes())
def test_something_better_than_the_unedited_target_is_known(name: str):
    landscape = open_landscape(name)
    sign = open_sources(name).trainable.sign
    assert sign * (landscape.best - landscape.baseline) > 2 * landscape.sd
    assert landscape.value(()) == pytest.approx(landscape.baseline)


@pytest.mark.parametrize("name", shipped_landscapes())
def test_scripts_of_several_edits_fail_as_often_as_those_that_ran(name: str):
    reading, landscape, draws = read_rows(read_landscape(find_landscape(name))[0]), open_landscape(name), Random(0)
    ran = [script for script in reading.works if len(script) > 3 and script not in reading.refused]
    at = {edit.address: edit for edit in landscape.edits}
    pool = [at[address] for script in ran for address in script]
    fails = [math.isnan(landscape.value(_draw(landscape, pool, len(script), draws))) for script in ran * 20]
    failed = statistics.fmean(not reading.works[script] for script in ran)
    share = (failed * len(ran) + 1) / (len(ran) + 2)
    assert statistics.fmean(fails) == pytest.approx(failed, abs=3 * math.sqrt(share * (1 - share) / len(ran)))


@pytest.mark.parametrize("name", shipped_landscapes())
def test_what_was_refused_is_what_conflicts_and_is_not_listed(name: str):
    reading, landscape = read_rows(read_landscape(find_landscape(name))[0]), open_landscape(name)
    at = {edit.address: edit for edit in landscape.edits}
    for script in reading.works:
        edits = [at[address] for address in script]
        apart = any(other not in landscape.legal([one]) for one, other in combinations(edits, 2))
        assert apart == (script in reading.refused)
        assert math.isnan(landscape.value(edits)) or not apart


@pytest.mark.parametrize("name", shipped_landscapes())
def test_edits_that_conflict_have_no_metric_together_though_nobody_recorded_it(name: str):
    landscape = open_landscape(name)
    one = landscape.edits[0]
    apart = {*landscape.edits} - {one, *landscape.legal([one])}
    assert apart
    assert all(math.isnan(landscape.value([one, other])) for other in apart)


def _draw(landscape: TableLandscape, pool: Sequence[Edit], n_edits: int, draws: Random) -> list[Edit]:
    """Draw a script of edits that can be applied together."""
    script: list[Edit] = []
    while len(script) < n_edits:
        edit = draws.choice(pool)
        script += [edit] if edit in landscape.legal(script) else []
    return script
