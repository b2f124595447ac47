"""The figures behind the report: facts, chart geometry, lineage and diffs, on trials made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record import Proposal, Record, Settings
from harness.report.chart import BOTTOM, LEFT, RIGHT, TOP, draw_chart, strip_marks, strip_reach
from harness.report.diff import LINES_SHOWN, diff_files
from harness.report.facts import Fate, all_runs, count_failures, count_fates, find_best, kind_facts
from harness.report.lineage import Program, build_lineage
from harness.report.text import duration_text, number_text, printable
from harness.values import Decision, Outcome, Reward, Status, Trial, Verdict
from harness.verdict import Noise, noise_of
from mutator.edit import Edit

SETTINGS = Settings("/target", "digest", "target", "accuracy", "maximize", "random", 1, 10, 1, 3)
BASELINE = tuple(Outcome(Status.OK, metric, seed) for seed, metric in enumerate((1.00, 0.99, 1.01)))
NOISE = noise_of(BASELINE)


def _trial(
    number: int,
    metrics: tuple[float, ...] = (1.0,),
    *,
    decision: Decision = Decision.DISCARD,
    parent: int = 0,
    kind: str = "scale-literal",
) -> Trial:
    outcomes = tuple(
        Outcome(Status.OK if math.isfinite(m) else Status.INVALID_METRIC, m, i) for i, m in enumerate(metrics)
    )
    gain = math.fsum(metrics) / len(metrics) - NOISE.mean
    verdict = Verdict(decision, math.fsum(metrics) / len(metrics), gain, gain / NOISE.sd, "")
    return Trial(
        number, parent, (Edit(kind, "config:Config/lr"),), f"program {number}", "", outcomes, verdict, Reward(())
    )


def _keep(number: int, *metrics: float, parent: int = 0) -> Trial:
    return _trial(number, metrics, decision=Decision.KEEP, parent=parent)


def test_best_is_measured_on_fresh_seeds_alone() -> None:
    record = Record(SETTINGS, BASELINE, trials=(_keep(1, 1.05, 1.02, 1.04), _trial(2)))
    best = find_best(record, NOISE)
    assert best is not None
    assert (best.trial.number, best.n, best.metric) == (1, 2, pytest.approx(1.03))
    assert (best.gain, best.percent, best.in_sd) == pytest.approx((0.03, 3.0, 3.0))


def test_gain_of_the_best_has_the_sign_of_the_direction() -> None:
    record = Record(SETTINGS, BASELINE, trials=(_keep(1, 0.9, 0.89),))
    for direction, gain in (("maximize", -0.1), ("minimize", 0.1)):
        best = find_best(replace(record, settings=replace(SETTINGS, direction=direction)), NOISE)
        assert best is not None
        assert best.gain == pytest.approx(gain)


def test_every_trial_has_one_fate_and_a_failed_run_is_no_discard() -> None:
    trials = (_keep(1, 1.1, 1.1), _trial(2, (1.01,), decision=Decision.NOT_PROVEN), _trial(3), _trial(4, (math.nan,)))
    stopped = replace(_trial(5), outcomes=(Outcome(Status.STOPPED),))
    assert count_fates((*trials, stopped)) == dict.fromkeys(Fate, 1)
    assert count_failures(trials) == (("invalid_metric", 1),)


def test_runs_of_unjudged_trials_count_as_runs() -> None:
    pending = Proposal(7, 0, (Edit("scale-literal", "config:Config/lr"),), "", "", outcomes=(Outcome(Status.OK, 1.0),))
    assert len(all_runs(Record(SETTINGS, BASELINE, proposals=(pending,)))) == 4


def test_kind_with_more_keeps_comes_first_and_failures_pay_no_gain() -> None:
    often = tuple(_trial(number, (1.0 + number / 100,), kind="often") for number in range(1, 4))
    useful = (_keep(4, 1.05, 1.05), _trial(5, (math.nan,)))
    first, second = kind_facts((*often, *useful), NOISE)
    assert (first.kind, first.tried, first.ran, first.fates[Fate.KEPT]) == ("scale-literal", 2, 1, 1)
    assert (second.kind, second.tried, second.ran) == ("often", 3, 3)
    assert (second.median_sd, second.mean_sd, second.best_sd) == pytest.approx((2.0, 2.0, 3.0))


def test_strip_keeps_gains_right_of_the_middle_and_losses_left() -> None:
    (facts,) = kind_facts((_trial(1, (0.97,)), _trial(2, (1.0,)), _keep(3, 1.3, 1.3), _trial(4, (-50.0,))), NOISE)
    reach = strip_reach((facts,))
    worse, same, better, diverged = strip_marks(facts, reach)
    assert diverged.x < worse.x < same.x < better.x
    assert (diverged.outside, better.outside) == (True, False)
    assert reach >= 30.0


def test_one_diverged_trial_does_not_stretch_the_chart() -> None:
    trials = [_trial(number, (1 + number / 1000,)) for number in range(1, 10)]
    chart = draw_chart([*trials, _trial(10, (1e9,))], BASELINE, NOISE, sign=1.0)
    assert [trial.number for trial in chart.above] == [10]
    assert chart.below == ()
    heights = [mark.y for mark in chart.marks[:-1]]
    assert max(heights) - min(heights) > (BOTTOM - TOP) / 20
    assert chart.marks[-1].y == TOP


def test_kept_trials_are_inside_however_far_they_went() -> None:
    chart = draw_chart([_trial(1, (1.001,)), _keep(2, 90.0, 90.0)], BASELINE, NOISE, sign=1.0)
    assert not any(mark.outside for mark in chart.marks)


@pytest.mark.parametrize(("sign", "metric"), [(1.0, 1.2), (-1.0, 0.8)])
def test_incumbent_line_moves_and_its_labels_lie_on_the_better_side(sign: float, metric: float) -> None:
    trials = [_trial(1), _trial(2, (metric, metric), decision=Decision.KEEP), _trial(60)]
    chart = draw_chart(trials, BASELINE, NOISE, sign=sign)
    kept = next(mark for mark in chart.marks if mark.fate is Fate.KEPT)
    assert (kept.y - chart.baseline) * sign < 0
    assert chart.step[0][1] == chart.baseline
    assert chart.step[-1] == (RIGHT, kept.y)
    (label,) = chart.labels
    assert label.text == "2 scale-literal lr"
    assert (label.y - 4 - kept.y) * sign < 0
    assert (chart.incumbent_label - chart.baseline_label) * sign < 0


def test_failed_trials_stand_in_the_lane_and_nowhere_else() -> None:
    chart = draw_chart([_trial(1), _trial(2, (math.nan,))], BASELINE, NOISE, sign=1.0)
    assert [mark.trial.number for mark in chart.failed] == [2]
    assert [mark.trial.number for mark in chart.marks] == [1]


_METRICS = st.floats(-1e12, 1e12) | st.floats(0.9, 1.1) | st.just(math.nan)


@given(
    st.lists(st.tuples(_METRICS, st.sampled_from(Decision)), max_size=30),
    st.floats(0.0, 10.0),
    st.sampled_from((1.0, -1.0)),
)
def test_every_mark_lies_in_the_plot_whatever_was_measured(
    runs: list[tuple[float, Decision]], sd: float, sign: float
) -> None:
    trials = [
        _trial(number, (metric,), decision=decision if math.isfinite(metric) else Decision.DISCARD)
        for number, (metric, decision) in enumerate(runs, start=1)
    ]
    chart = draw_chart(trials, BASELINE, Noise(1.0, sd + 1e-4, 3), sign=sign)
    for mark in (*chart.marks, *chart.failed):
        assert LEFT <= mark.x <= RIGHT
        assert TOP <= mark.y <= BOTTOM
    assert chart.band[0] <= chart.baseline <= chart.band[1]  # one line where the scale is 1e12 sd
    assert len(chart.y_ticks) >= 2
    assert len(chart.x_ticks) >= 2


def test_lineage_is_one_line_with_the_attempts_at_their_programs() -> None:
    trials = (
        _trial(1),
        _keep(2, 1.1, 1.1),
        _trial(3, parent=2),
        _keep(4, 1.2, 1.2, parent=2),
        _trial(5),
    )
    line = build_lineage(trials)
    assert [_number(program) for program in line] == [0, 2, 4]
    assert [[trial.number for trial in program.attempts] for program in line] == [[1, 5], [3], []]


def test_program_that_the_campaign_left_is_a_branch_where_it_left() -> None:
    trials = (
        _keep(1, 1.1, 1.1),
        _keep(2, 1.2, 1.2),
        _keep(3, 1.3, 1.3, parent=1),
        _trial(4, parent=2),
    )
    line = build_lineage(trials)
    assert [_number(program) for program in line] == [0, 1, 3]
    ((branch,),) = line[0].branches
    assert _number(branch) == 2
    assert [trial.number for trial in branch.attempts] == [4]


def test_program_that_was_edited_further_stands_in_the_lineage_though_it_was_not_kept() -> None:
    trials = (_trial(1), _keep(2, 1.1, 1.1), _trial(3, parent=1), _keep(4, 1.2, 1.2, parent=1), _trial(5, parent=3))
    line = build_lineage(trials)
    assert [_number(program) for program in line] == [0, 1, 4]
    assert [[_number(program) for program in branch] for branch in line[0].branches] == [[2]]
    assert [[_number(program) for program in branch] for branch in line[1].branches] == [[3]]
    assert [trial.number for trial in line[1].branches[0][0].attempts] == [5]


def _number(program: Program) -> int:
    return program.trial.number if program.trial else 0


def test_campaign_without_trials_has_the_lineage_of_its_baseline() -> None:
    assert build_lineage(()) == (Program(None, (), ()),)


def test_diff_shows_new_removed_and_changed_files_and_no_equal_one() -> None:
    old = {"gone.py": b"x = 1\n", "same.py": b"y\n", "train.py": b"a\n-- b\nc\n"}
    new = {"new.py": b"z = 1\n", "same.py": b"y\n", "train.py": b"a\nB\nc\n"}
    gone, created, changed = diff_files(old, new)
    assert (gone.path, gone.added, gone.removed) == ("gone.py", 0, 1)
    assert (created.path, created.added, created.removed) == ("new.py", 1, 0)
    assert [text for _, text in created.lines[:2]] == ["--- /dev/null", "+++ b/new.py"]
    assert ("del", "--- b") in changed.lines
    assert ("add", "+B") in changed.lines


def test_diff_shows_a_lost_newline_and_bytes_that_are_no_text() -> None:
    (ending,) = diff_files({"a.py": b"x\n"}, {"a.py": b"x"})
    assert ("add", "+\\ No newline at end of file") in ending.lines
    (binary,) = diff_files({"a.py": b"x\n"}, {"a.py": b"\xff\x0c\n"})
    assert ("add", "+\\xff\x0c") in binary.lines


def test_diff_that_would_bury_the_page_is_cut_and_says_so() -> None:
    (long,) = diff_files({}, {"data.py": b"x\n" * (2 * LINES_SHOWN)})
    assert long.cut
    assert len(long.lines) == LINES_SHOWN


def test_invisible_characters_are_spelled_out_and_others_left_alone() -> None:
    assert printable("if a:\u202e\x1b\r\ud800") == "if a:⟨U+202E⟩⟨U+001B⟩⟨U+000D⟩⟨U+D800⟩"
    assert printable("tab\tnewline\nnaïve → 数") == "tab\tnewline\nnaïve → 数"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (-0.0123, 3, "\N{MINUS SIGN}0.012"),
        (math.nan, 2, "\N{EN DASH}"),
        (1234567.0, 2, "1.235e+06"),
        (129.40001, None, "129.4"),
        (2.5e-12, 13, "2.5e\N{MINUS SIGN}12"),
    ],
)
def test_numbers_print_as_in_a_paper(value: float, decimals: int | None, text: str) -> None:
    assert number_text(value, decimals) == text


def test_durations_print_in_the_unit_a_person_would_choose() -> None:
    assert [duration_text(seconds) for seconds in (3, 150, 9000)] == ["3.0 s", "2.5 min", "2.5 h"]


def test_script_is_short_and_names_no_way_to_write_markup() -> None:
    script = Path(printable.__code__.co_filename).with_name("page.js").read_text(encoding="utf-8")
    assert len(script.splitlines()) < 150
    assert not any(
        word in script
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")
    )
