"""The design: which scripts a table measures, as a function of the edits, a seed and what is known."""

from collections import Counter
from random import Random

import pytest

from harness.landscape.design import PRESERVING_RUN, REPLICATES, missing
from harness.landscape.table import Stage
from harness.sources import open_sources
from tests import landscapes


def test_equal_seeds_ask_for_the_same_and_others_do_not():
    assert repr(landscapes.carried_out(400)) == repr(landscapes.carried_out(400))  # NaN equals nothing
    scripts = [{row.script for row in landscapes.carried_out(400, seed)} for seed in (0, 1)]
    assert scripts[0] != scripts[1]


def test_what_is_asked_for_does_not_depend_on_the_order_of_the_rows():
    rows = landscapes.carried_out(400)
    known = [row for row in rows if row.stage in (Stage.BASELINE, Stage.SINGLES)]
    shuffled = Random(0).sample(known, len(known))
    assert missing(landscapes.plan(400), known) == missing(landscapes.plan(400), shuffled)


@pytest.mark.parametrize("n_known", [3, 200])
def test_a_design_that_was_cut_off_goes_on_to_the_same_end(n_known: int):
    whole = landscapes.carried_out(400)
    rows = whole[:n_known]
    while wanted := missing(landscapes.plan(400), rows):
        rows += map(landscapes.answer, wanted[:20])
    assert repr(rows) == repr(whole)


def test_every_single_edit_is_asked_for_and_those_that_change_nothing_only_as_a_sample():
    rows, plan = landscapes.carried_out(400), landscapes.plan(400)
    singles = [row for row in rows if row.stage is Stage.SINGLES]
    assert {row.script for row in singles} == {(single.address,) for single in plan.singles}
    n_preserving = sum(single.preserves for single in plan.singles)
    assert sum(row.seed is None for row in singles) == max(0, n_preserving - PRESERVING_RUN)


def test_a_design_has_all_stages_and_keeps_to_its_size():
    rows = landscapes.carried_out(600)
    counts = Counter(row.stage for row in rows)
    assert set(counts) == set(Stage)
    assert counts[Stage.BASELINE] == REPLICATES
    n_ran = sum(row.seed is not None for row in rows)
    assert 0.9 * 600 <= n_ran <= 600


def test_a_small_design_takes_some_of_the_singles():
    rows = landscapes.carried_out(30)
    assert Counter(row.stage for row in rows if row.seed is not None) == {Stage.BASELINE: REPLICATES, Stage.SINGLES: 22}


def test_no_script_edits_a_site_twice():
    plan = landscapes.plan(600)
    for row in landscapes.carried_out(600):
        sites = [plan.sites[address] for address in row.script]
        assert len(set(sites)) == len(sites)


def test_deep_scripts_are_as_long_as_those_at_the_end_of_a_campaign_and_can_be_applied():
    code = open_sources("toy").code
    deep = [row.script for row in landscapes.carried_out(600) if row.stage is Stage.DEEP]
    lengths = {len(script) for script in deep}
    assert {7, 8, 9, 10} < lengths <= {*range(7, 17)}
    assert all(code.apply_together(*script) for script in deep[:10])


def test_longer_scripts_have_three_to_six_edits_but_for_the_first_steps_of_walks():
    lengths = {len(row.script) for row in landscapes.carried_out(600) if row.stage is Stage.LONGER}
    assert lengths <= {2, 3, 4, 5, 6}
    assert {3, 4, 5, 6} <= lengths
