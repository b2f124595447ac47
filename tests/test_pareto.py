"""Which programs no other one beats on everything: the front alone, and on campaigns with any fate in them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ledger import read_record
from harness.objects import ObjectStore
from harness.pareto import dominates, pareto_front, undominated
from harness.values import Outcome, Status
from mutator.edit import Edit
from tests.campaigns import SETTINGS, SOURCES, Fabrication, fabricated, plans, ran, write_rich

CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))
EDIT = Edit("set-literal", "config:Config/literal.n_layer", (("to", 8),), "3f9a2c81")

costs = st.integers(0, 3).map(float) | st.floats(-1e9, 1e9)
points = st.lists(st.tuples(costs, costs, costs), max_size=25)


@given(points)
def test_no_member_of_the_front_is_dominated_and_every_other_point_is(points):
    front = undominated(points)
    assert len({*front}) == len(front)
    for index, point in enumerate(points):
        assert (index in front) != any(dominates(other, point) for other in points)


@given(points)
def test_what_is_not_in_the_front_is_dominated_by_a_member(points):
    front = undominated(points)
    for index in {*range(len(points))} - {*front}:
        assert any(dominates(points[member], points[index]) for member in front)


@given(points.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_front_does_not_depend_on_the_order(drawn):
    one, other = ([found[index] for index in undominated(found)] for found in drawn)
    assert one == other


@pytest.mark.parametrize(
    ("one", "other", "is_beaten"),
    [
        ((1.0, 1.0), (1.0, 2.0), True),
        ((1.0, 1.0), (2.0, 2.0), True),
        ((1.0, 1.0), (1.0, 1.0), False),  # equal programs stay together
        ((1.0, 3.0), (2.0, 2.0), False),
    ],
)
def test_less_everywhere_and_somewhere_truly_beats(one, other, is_beaten):
    assert dominates(one, other) == is_beaten
    assert not dominates(other, one)


SAME = SOURCES["optim.py"]
BRANCHED = SAME + b"\n\ndef pick(a, b):\n    return a if a else b\n"
SIMPLER = b"def build_optimizer(model, config):\n    return None\n"


def front_of(folder: Path, *programs: tuple[float, float, bytes], direction: str = "minimize") -> list[int]:
    """Write a campaign of programs with a metric, CPU seconds and an optim.py each; return the trials of its front.

    The unedited target has 2.0 and 5.8 seconds.
    """
    made = Fabrication(folder, replace(SETTINGS, direction=direction), (2.0, 2.0))
    for metric, cpu_s, source in programs:
        snapshot = made.propose(EDIT, {"optim.py": source, "note.txt": f"{made.number}".encode()})
        made.judge(snapshot, [replace(ran(metric, seed=0), cpu_s=cpu_s)])
    made.finish("enough")
    return [each.number for each in pareto_front(read_record(folder), ObjectStore(folder))]


@pytest.mark.parametrize(
    ("programs", "front"),
    [
        ([(1.9, 5.8, SAME)], [1]),
        ([(2.1, 5.8, SAME)], [0]),
        ([(1.9, 6.0, SAME), (2.1, 5.0, SAME), (2.1, 6.0, SAME)], [1, 0, 2]),  # better; as it was; cheaper
        ([(1.9, 5.8, BRANCHED)], [1, 0]),
        ([(1.9, 5.8, BRANCHED), (1.9, 5.8, SAME)], [2]),
        ([(2.1, 5.8, SIMPLER)], [0, 1]),
        ([(2.0, 5.8, SAME)], [0, 1]),  # equal in everything
    ],
)
def test_a_program_stays_for_its_metric_its_time_or_its_size(tmp_path, programs, front):
    assert front_of(tmp_path, *programs) == front


def test_a_larger_metric_is_better_where_the_target_says_so(tmp_path):
    assert front_of(tmp_path, (2.1, 5.8, SAME), (1.9, 5.8, SAME), direction="maximize") == [1]


def test_what_has_no_metric_and_what_is_not_judged_are_no_programs_to_choose_from(tmp_path):
    made = Fabrication(tmp_path, SETTINGS, (2.0, 2.0))
    made.judge(made.propose(EDIT, {"optim.py": SIMPLER}), [Outcome(Status.FAILED, cpu_s=0.1)])
    made.propose(EDIT, {"optim.py": BRANCHED})
    made.finish("enough")
    (only,) = pareto_front(read_record(tmp_path), ObjectStore(tmp_path))
    assert (only.trial, only.metric, only.cpu_s, only.paths) == (None, 2.0, pytest.approx(5.8), 0.0)


@given(plans())
def test_any_campaign_has_a_front_of_measured_programs(plan):
    with fabricated(plan) as folder:
        record = read_record(folder)
        front = pareto_front(record, ObjectStore(folder))
    assert bool(front) == (bool(record.baseline) and all(outcome.ok for outcome in record.baseline))
    assert all(each.trial is None or each.trial.ok for each in front)


def test_status_prints_the_front_and_says_it_as_json(tmp_path):
    write_rich(tmp_path, n_trials=30)
    record, store = read_record(tmp_path), ObjectStore(tmp_path)
    front = pareto_front(record, store)
    assert len(front) > 1
    said, plain, told = (
        subprocess.run([CODEGRAFT, "status", tmp_path, *options], capture_output=True, text=True, check=True).stdout
        for options in (["--pareto"], [], ["--pareto", "--json"])
    )
    lines = [line for line in said.splitlines() if line.startswith("pareto    val_bpb ")]
    assert said.splitlines() == [*plain.splitlines(), *lines]
    assert len(lines) == len(front)
    shown = json.loads(told)["pareto"]
    assert [each["trial"] for each in shown] == [each.number for each in front]
    best = next(each for each in shown if each["trial"])
    (trial,) = [trial for trial in record.trials if trial.number == best["trial"]]
    assert best["metric"] == trial.metric
    assert best["cpu_s"] == pytest.approx(fmean(outcome.cpu_s for outcome in trial.outcomes))
    assert f"trial {best['trial']}: " in lines[shown.index(best)]
