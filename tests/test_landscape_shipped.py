"""The landscapes that ship: of the targets as they ship, whole, and with something to find."""

import pytest

from harness.landscape.lookup import open_landscape
from harness.landscape.store import find_landscape, read_landscape
from harness.landscape.table import provenance_of
from harness.sources import open_sources
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
