"""The last evaluation: what is asked of the machine, what is concluded from it, and that it is done once."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from graph.build import build_graph
from harness.conclude import BASELINE, INCUMBENT, SHRUNK, Conclusion, contributions, dispensable, effect, recommended
from harness.record import Final, Record, Settings
from harness.report.facts import stopping_facts
from harness.sources import read_target
from harness.values import Decision, Outcome, Reward, Scoring, Status, Trial, Verdict
from mutator.code import Code
from mutator.edit import parse_edit
from targets.manifest import load_target

TOY = load_target(Path(__file__).parent.parent / "targets" / "toy")
ROOT = read_target(TOY)
RATE, AGAIN = "set-literal@config:Config/literal.lr?to=0.04", "set-literal@config:Config/literal.lr?to=0.06"
FLAG = "flip-flag@config:Config/literal.nesterov"
SETTINGS = Settings("/toy", "digest", "toy", "val_loss", "minimize", "random", 7, 9, 3, 3)


def kept(*uris: str) -> Record:
    """A campaign that kept these edits one after the other."""
    code, trials = Code.of(ROOT), []
    for number, uri in enumerate(uris, 1):
        code = code.apply(uri)
        verdict = Verdict(Decision.KEEP, 1.0, 0.1, 3.0, "")
        ran = (Outcome(Status.OK, 1.0, isolation="posix"),)
        made = number, number - 1, code.script[-1:], code.snapshot.digest, "c"
        trials.append(Trial(*made, ran, verdict, Reward(())))
    return Record(SETTINGS, trials=tuple(trials))


def measured(record: Record, metrics: dict[str, float], scoring: Scoring = Scoring.SEARCH) -> Record:
    """Add finals of these roles on three seeds that differ a little, and together."""
    number = record.kept[-1].number
    runs = [
        Final(
            number,
            role,
            scoring,
            Outcome(Status.OK, metric + 0.01 * seed + 0.001 * seed * (role == INCUMBENT), seed=seed),
        )
        for role, metric in metrics.items()
        for seed in range(3)
    ]
    return replace(record, finals=(*record.finals, *runs))


def roles(runs) -> list[str]:
    return list(dict.fromkeys(run.role for run in runs))


def test_the_incumbent_runs_with_and_without_each_of_its_edits_on_seeds_of_their_own():
    record = kept(RATE, FLAG)
    runs = Conclusion(TOY, record, ROOT).first_stage(record)
    assert roles(runs) == [BASELINE, INCUMBENT, f"without {RATE}", f"without {FLAG}"]
    assert len(runs) == 12
    assert {run.seed for run in runs}.isdisjoint(range(7, 7 + 10_000))
    assert {run.scoring for run in runs} == {Scoring.SEARCH}
    left = next(run.snapshot for run in runs if run.role == f"without {RATE}")
    assert left.files == Code.of(ROOT).apply(FLAG).snapshot.files


def test_an_edit_that_a_later_one_undoes_is_no_part_of_the_script():
    record = kept(RATE, FLAG, AGAIN)
    runs = Conclusion(TOY, record, ROOT).first_stage(record)
    assert roles(runs) == [BASELINE, INCUMBENT, f"without {FLAG}", f"without {AGAIN}"]


def test_an_edit_whose_absence_does_not_show_is_left_out_and_the_rest_is_tested_on_the_final_split():
    record = kept(RATE, FLAG)
    record = measured(record, {BASELINE: 2.0, INCUMBENT: 1.5, f"without {RATE}": 1.9, f"without {FLAG}": 1.4})
    assert dispensable(record) == {FLAG}
    conclusion = Conclusion(TOY, record, ROOT)
    shrunk = conclusion.shrunk(record)
    assert shrunk is not None
    assert shrunk.files == Code.of(ROOT).apply(RATE).snapshot.files
    asked = conclusion.second_stage(record, has_test=True)
    assert [(run.role, run.scoring) for run in asked[::3]] == [
        (SHRUNK, Scoring.SEARCH),
        (BASELINE, Scoring.FINAL),
        (INCUMBENT, Scoring.FINAL),
        (SHRUNK, Scoring.FINAL),
    ]
    assert roles(conclusion.second_stage(record, has_test=False)) == [SHRUNK]


def test_what_was_measured_is_not_measured_again():
    record = kept(RATE, FLAG)
    conclusion = Conclusion(TOY, record, ROOT)
    first = conclusion.first_stage(record)
    done = [Final(2, run.role, run.scoring, Outcome(Status.OK, 1.0, seed=run.seed)) for run in first]
    assert conclusion.first_stage(replace(record, finals=tuple(done))) == []
    assert len(conclusion.first_stage(replace(record, finals=tuple(done[:-1])))) == 1
    older = tuple(replace(final, trial=1) for final in done)  # of another incumbent
    assert conclusion.first_stage(replace(record, finals=older)) == first


@pytest.mark.parametrize(("shrunk", "choice"), [(1.49, SHRUNK), (1.502, SHRUNK), (1.9, INCUMBENT)])
def test_the_shrunk_script_is_recommended_unless_it_is_proven_worse(shrunk, choice):
    record = measured(kept(RATE, FLAG), {BASELINE: 2.0, INCUMBENT: 1.5, SHRUNK: shrunk})
    assert recommended(record) == choice


def test_a_shrunk_script_that_failed_once_is_not_recommended():
    record = measured(kept(RATE, FLAG), {BASELINE: 2.0, INCUMBENT: 1.5, SHRUNK: 1.4})
    assert recommended(record) == SHRUNK
    *others, last = record.finals
    failed = replace(last, outcome=Outcome(Status.FAILED, seed=last.outcome.seed))
    assert recommended(replace(record, finals=(*others, failed))) == INCUMBENT


def test_an_edit_that_adds_exactly_nothing_is_left_out():
    record = kept(RATE, FLAG)
    finals = [
        Final(2, role, Scoring.SEARCH, Outcome(Status.OK, metric + 0.01 * seed, seed=seed))
        for role, metric in ((INCUMBENT, 1.5), (f"without {RATE}", 1.5), (f"without {FLAG}", 1.9))
        for seed in range(3)
    ]
    assert dispensable(replace(record, finals=tuple(finals))) == {RATE}


def test_effects_are_paired_by_seed_and_positive_when_better():
    record = measured(kept(RATE), {BASELINE: 2.0, INCUMBENT: 1.5})
    found = effect(record, INCUMBENT, BASELINE)
    assert found is not None
    assert found.mean == pytest.approx(0.499)
    assert 0.49 < found.low < found.mean < found.high < 0.51
    assert (found.better, found.worse, found.n) == (pytest.approx(1.511), pytest.approx(2.01), 3)
    mirrored = effect(replace(record, settings=replace(SETTINGS, direction="maximize")), INCUMBENT, BASELINE)
    assert mirrored is not None
    assert mirrored.mean == -found.mean
    assert effect(record, INCUMBENT, BASELINE, Scoring.FINAL) is None


def test_a_run_without_a_metric_is_no_part_of_an_effect():
    record = measured(kept(RATE), {BASELINE: 2.0, INCUMBENT: 1.5})
    crashed = tuple(
        replace(final, outcome=Outcome(Status.FAILED, seed=final.outcome.seed)) if final.outcome.seed else final
        for final in record.finals
    )
    assert effect(replace(record, finals=crashed), INCUMBENT, BASELINE) is None
    assert contributions(record) == {}


def test_the_false_kill_rate_is_what_the_audit_allows_and_no_more():
    def ran(status: Status, doomed_at: float = math.nan, steps: int = 100) -> Outcome:
        return Outcome(status, 1.0, steps=steps, isolation="posix", doomed_at=doomed_at)

    trial = kept(RATE).trials[0]
    discarded = replace(trial, verdict=replace(trial.verdict, decision=Decision.DISCARD))
    trials = (
        replace(discarded, outcomes=(ran(Status.STOPPED, steps=25),)),
        replace(discarded, outcomes=(ran(Status.OK, doomed_at=0.5),)),
        replace(trial, outcomes=(ran(Status.OK, doomed_at=0.5),)),
        replace(discarded, outcomes=(ran(Status.OK),)),
    )
    record = Record(replace(SETTINGS, stopping="median"), (ran(Status.OK),), trials=trials)
    facts = stopping_facts(record)
    assert facts is not None
    assert (facts.n_stopped, facts.n_audited, facts.n_false) == (1, 2, 1)
    assert facts.saved == pytest.approx(0.75 / 4)
    assert 0.5 < facts.rate_at_most < 1.0
    assert stopping_facts(replace(record, settings=SETTINGS)) is None


def test_the_edits_are_real():
    assert all(parse_edit(uri).site in build_graph(ROOT).nodes for uri in (RATE, AGAIN, FLAG))
