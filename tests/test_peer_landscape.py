"""The landscape that autoresearch-rl bundles: 98 programs, of which one is the best."""

from __future__ import annotations

from itertools import product

import pytest

from bench.peer_landscape import CLIPS, OPTIMUM, RATES, Bundled, metric_of, play
from mutator.edit import Edit


def test_its_edits_reach_each_of_the_98_programs_once():
    bundled, found, front = Bundled(), {}, [()]
    while front:
        script = front.pop()
        found[frozenset(script)] = bundled.value(script)
        front += [(*script, edit) for edit in bundled.legal(script) if frozenset((*script, edit)) not in found]
    assert sorted(found.values()) == sorted(metric_of(*each) for each in product(RATES, CLIPS, (False, True)))
    assert min(found.values()) == pytest.approx(OPTIMUM) == pytest.approx(bundled.best)


def test_a_script_sets_what_its_edits_say():
    bundled = Bundled()
    script = (Edit("set-literal", "train:/literal.learning_rate", (("to", 2.6e-3),)), bundled.edits[-1])
    assert bundled.value(script) == pytest.approx(metric_of(2.6e-3, 0.8, True))
    assert {edit.site for edit in bundled.legal(script)} == {"train:/literal.grad_clip"}


def test_ppo_finds_the_best_program_within_25_trials():
    for seed in range(3):
        assert min(play("ppo", seed)[:25]) == pytest.approx(OPTIMUM)
