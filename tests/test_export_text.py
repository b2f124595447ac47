"""Exports as text: results.tsv, JSON Lines, the Chrome trace; and where an export may go."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings

from harness.cli import main
from harness.export import FORMATS, read_history, write_export
from harness.export.history import History, Moment
from harness.ledger import LEDGER_FILE, Ledger
from harness.record import Final, Proposal, Recheck, Record
from harness.values import Outcome, Scoring, Status, TrialError
from mutator.edit import Edit, print_script
from tests.campaigns import FAILURES, HOSTILE, SETTINGS, Fabrication, Plan, fabricated, plans, ran, write_rich

if TYPE_CHECKING:
    pass

EDIT = Edit("set-literal", "train:lr", (("to", 3e-4),), "3f9a2c81")
Say = Callable[..., tuple[int, bytes, str]]
any_campaign = settings(
    max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking takes minutes


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Say:
    """The command `export` as a shell runs it: exit code, stdout, stderr."""

    def run(*args: object) -> tuple[int, bytes, str]:
        monkeypatch.setattr("sys.argv", ["codegraft", "export", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsysbinary.readouterr()
        return int(ended.value.code or 0), out, err.decode()

    return run


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rich")
    write_rich(folder, n_trials=40)
    return folder


def export(folder: Path, name: str) -> str:
    place = folder / f"x.{name}"
    write_export(read_history(folder), FORMATS[name], place)
    return place.read_text(encoding="utf-8")


def table(folder: Path) -> list[list[str]]:
    return list(csv.reader(export(folder, "tsv").splitlines(), dialect="excel-tab"))


def lines(folder: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in export(folder, "jsonl").splitlines()]


def is_visible(text: str) -> bool:
    return not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Zl", "Zp"}


# --- results.tsv -----------------------------------------------------------------------------------------------------------------


def test_table_has_the_columns_of_autoresearch_with_the_baseline_first(rich: Path) -> None:
    head, baseline, *trials = table(rich)
    record = read_history(rich).record
    assert head == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert baseline[1:] == [f"{sum(o.metric for o in record.baseline) / 5:.6f}", "0.4", "keep", "baseline"]
    assert len(trials) == 40
    for row, trial in zip(trials, record.trials, strict=True):
        status = "keep" if trial.kept else "discard" if trial.ok else "crash"
        measured = [f"{trial.metric:.6f}", "0.4"] if trial.ok else ["0.000000", "0.0"]
        assert row[:4] == [trial.commit[:7], *measured, status]
    assert {row[3] for row in trials} == {"keep", "discard", "crash"}


def test_trial_that_never_ran_is_left_out_of_autoresearchs_curve(tmp_path: Path) -> None:
    campaign = Fabrication(tmp_path, metrics=(2.3, 2.31, 2.32))
    for status in (Status.DUPLICATE, Status.STOPPED):
        campaign.judge(campaign.propose(EDIT, {"config.py": status.encode()}), [Outcome(status)])
    campaign.finish("done")
    assert [row[1:4] for row in table(tmp_path)[2:]] == [["0.000000", "0.0", "crash"]] * 2


def test_failed_baseline_is_a_crash_that_says_why(tmp_path: Path) -> None:
    campaign = Fabrication(tmp_path)
    campaign.ledger.add_baseline(0, FAILURES[0])
    campaign.finish("the baseline failed")
    (row,) = table(tmp_path)[1:]
    assert row == ["0000000", "0.000000", "0.0", "crash", "baseline: failed: RuntimeError in layers.py:11"]


def test_campaign_that_has_just_begun_is_a_table_without_rows(tmp_path: Path) -> None:
    Fabrication(tmp_path).ledger.close()
    assert len(table(tmp_path)) == 1
    assert [line["trial"] for line in lines(tmp_path)] == [0]


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@x", '"', "'", "\t=1", "\r=1", "\n@x"])
def test_no_cell_is_a_formula_or_ends_its_row(tmp_path: Path, start: str) -> None:
    campaign = Fabrication(tmp_path, metrics=(2.3, 2.31))
    edit = Edit(f"{start}cmd|' /C calc'!A0", "a\tb\nc\u2028d")
    campaign.judge(
        campaign.propose(edit, {"config.py": b"new"}), [ran(2.4, seed=0)], reason="one\ttwo\x1b[31m\u202e\nthree"
    )
    campaign.finish("done")
    text = export(tmp_path, "tsv")
    assert text.count("\n") == 3
    description = text.splitlines()[2].split("\t")[4]
    assert description.startswith("'")
    assert is_visible(description)


@any_campaign
@given(plan=plans())
def test_any_campaign_is_a_table_of_five_columns(plan: Plan) -> None:
    with fabricated(plan) as folder:
        history, (_, *rows) = read_history(folder), table(folder)
        assert len(rows) == len(history.settled)
        for row in rows:
            commit, metric, memory_gb, status, description = row
            assert (float(memory_gb), math.isfinite(float(metric)), status in ("keep", "discard", "crash")) >= (
                0.0,
                True,
                True,
            )
            assert commit[0] not in "=+-@"
            assert description[0] not in '=+-@"'
            assert is_visible(description)
        measured_baseline = history.baseline.status is Status.OK
        assert sum(row[3] == "keep" for row in rows) == len(history.record.kept) + measured_baseline


# --- JSON Lines ------------------------------------------------------------------------------------------------------------------


def test_line_has_all_that_the_ledger_has_of_a_trial(rich: Path) -> None:
    record = read_history(rich).record
    trial, on = record.kept[1], record.kept[0]
    line = next(line for line in lines(rich) if line["trial"] == trial.number)
    assert line["edit"] == print_script(trial.script)
    assert (line["parent_trial"], line["parent"]) == (on.number, on.snapshot)
    assert (line["snapshot"], line["commit"]) == (trial.snapshot, trial.commit)
    assert (line["decision"], line["gain"], line["z"]) == ("keep", trial.verdict.gain, trial.verdict.z)
    assert line["terms"] == dict(trial.reward.terms)
    assert line["reward"] == trial.reward.total
    assert line["best"] == trial.metric
    assert [run["metric"] for run in line["outcomes"]] == [outcome.metric for outcome in trial.outcomes]
    assert set(line["outcomes"][0]) == {field.name for field in fields(Outcome)}
    assert line["began_ts"] <= line["ended_ts"]


def test_hostile_text_comes_back_whole(rich: Path) -> None:
    line = next(line for line in lines(rich) if line["trial"] == 23)
    assert (line["kind"], line["site"], line["choice"]) == (HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    assert line["outcomes"][0]["detail"] == HOSTILE + "\\udcff"  # half of a pair: no UTF-8 reader takes it
    assert line["metric"] is None


@any_campaign
@given(plan=plans())
def test_any_campaign_is_lines_of_strict_json_with_the_same_keys(plan: Plan) -> None:
    with fabricated(plan) as folder:
        record, (baseline, *trials) = read_history(folder).record, lines(folder)
        assert export(folder, "jsonl").isascii()
        assert {tuple(line) for line in trials} <= {tuple(baseline)}
        assert [line["trial"] for line in trials] == [proposal.number for proposal in record.proposals]
        assert [line["trial"] for line in trials if line["decision"] is None] == [p.number for p in record.pending]
        metrics = [run["metric"] for line in trials for run in line["outcomes"]]
        expected = [o.metric for p in record.proposals for o in p.outcomes]
        assert metrics == [metric if math.isfinite(metric) else None for metric in expected]


def test_incumbent_has_its_rechecks_and_its_last_evaluation(tmp_path: Path) -> None:
    write_rich(tmp_path, n_trials=12)
    number = read_history(tmp_path).record.kept[-1].number
    with Ledger(tmp_path) as ledger:
        ledger.add_recheck(Recheck(number, ran(2.2, seed=90), ran(2.3, seed=90)))
        for role in ("baseline", "incumbent"):
            ledger.add_final(Final(number, role, Scoring.FINAL, ran(2.25, seed=91)))
    line = next(line for line in lines(tmp_path) if line["trial"] == number)
    assert [each["incumbent"]["metric"] for each in line["rechecks"]] == [2.2]
    assert [(each["role"], each["scoring"]) for each in line["finals"]] == [
        ("baseline", "final"),
        ("incumbent", "final"),
    ]
    later = [run["name"] for runs in spans(trace_of(read_history(tmp_path), tmp_path), "run").values() for run in runs]
    for name in ("recheck incumbent", "recheck baseline", "final baseline on final", "final incumbent on final"):
        assert sum(found.startswith(f"{name} {number} ") for found in later) == 1


# --- Chrome trace ----------------------------------------------------------------------------------------------------------------


def spans(trace: dict[str, Any], category: str) -> dict[int, list[dict[str, Any]]]:
    """Return the spans of each track."""
    found = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["cat"] == category]
    return {tid: [span for span in found if span["tid"] == tid] for tid in sorted({span["tid"] for span in found})}


def timed(*runs: tuple[float, tuple[tuple[str, float], ...]]) -> History:
    """A campaign with one trial per run: when its event was written, and its phases."""
    outcomes = [replace(ran(2.3, seed=0), phases=phases, wall_s=5.0) for _, phases in runs]
    proposals = tuple(
        Proposal(number, 0, (EDIT,), "made", "0" * 40, outcomes=(outcome,))
        for number, outcome in enumerate(outcomes, start=1)
    )
    moments = (
        Moment(1000.0, "campaign", 0, 0),
        *(Moment(1000.0 + end, "run", n, 0) for n, (end, _) in enumerate(runs, start=1)),
    )
    return History("timed", Record(SETTINGS, (), proposals), moments, "")


def trace_of(history: History, folder: Path) -> dict[str, Any]:
    write_export(history, FORMATS["chrome"], folder / "trace.json")
    trace: dict[str, Any] = json.loads((folder / "trace.json").read_bytes())
    return trace


def test_run_is_a_span_with_its_phases_end_to_end_inside(tmp_path: Path) -> None:
    trace = trace_of(timed((10.0, (("wait", 0.5), ("copy", 0.25), ("train", 6.0), ("score", 1.25)))), tmp_path)
    ((run,),) = spans(trace, "run").values()
    assert (run["name"], run["ts"], run["dur"], run["tid"]) == ("trial 1 run 0", 2_000_000, 8_000_000, 1)
    assert run["args"]["edit"] == EDIT.uri
    (phases,) = spans(trace, "phase").values()
    assert sorted((span["ts"], span["dur"], span["name"]) for span in phases) == [
        (2_000_000, 500_000, "wait"),
        (2_500_000, 250_000, "copy"),
        (2_750_000, 6_000_000, "train"),
        (8_750_000, 1_250_000, "score"),
    ]


def test_run_without_phases_is_one_span_of_its_wall_time(tmp_path: Path) -> None:
    trace = trace_of(timed((10.0, ())), tmp_path)
    ((run,),) = spans(trace, "run").values()
    assert (run["ts"], run["dur"]) == (5_000_000, 5_000_000)
    assert not spans(trace, "phase")


def test_overlapping_runs_are_on_tracks_of_their_own_and_later_ones_reuse_them(tmp_path: Path) -> None:
    trace = trace_of(timed((5.0, ()), (7.0, ()), (10.01, ()), (12.0, ()), (12.5, ())), tmp_path)
    tracks = {tid: [span["args"]["run"] or span["name"] for span in runs] for tid, runs in spans(trace, "run").items()}
    assert tracks == {
        1: ["trial 1 run 0", "trial 3 run 0"],
        2: ["trial 2 run 0", "trial 4 run 0"],
        3: ["trial 5 run 0"],
    }
    names = {e["tid"]: e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert names == {0: "controller", 1: "slot 1", 2: "slot 2", 3: "slot 3"}


def test_event_that_was_written_late_opens_no_new_track(tmp_path: Path) -> None:
    trace = trace_of(timed((5.02, ()), (10.0, ())), tmp_path)  # the second began at 5.0
    first, second = spans(trace, "run")[1]
    assert second["ts"] == first["ts"] + first["dur"]
    assert second["ts"] + second["dur"] == 10_000_000


@any_campaign
@given(plan=plans())
def test_any_campaign_is_a_trace_whose_spans_nest(plan: Plan) -> None:
    with fabricated(plan) as folder:
        history = read_history(folder)
        trace = trace_of(history, folder)
        runs = spans(trace, "run")
        timed_runs = [o for entry in history.entries for o in entry.outcomes if o.wall_s > 0.0 or o.phases]
        assert sum(map(len, runs.values())) == len(timed_runs)
        for tid, track in runs.items():
            track.sort(key=lambda span: span["ts"])
            assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in pairwise(track))
            for phase in spans(trace, "phase").get(tid, []):
                assert any(
                    run["ts"] <= phase["ts"] and phase["ts"] + phase["dur"] <= run["ts"] + run["dur"] for run in track
                )
        assert sum(event["ph"] == "i" for event in trace["traceEvents"]) == len(history.moments)


# --- the command -----------------------------------------------------------------------------------------------------------------


def test_text_goes_to_stdout_and_nothing_else_does(rich: Path, say: Say) -> None:
    assert say(rich, "--to", "tsv") == (0, export(rich, "tsv").encode(), "")
    assert say(rich, "--to", "jsonl", "-o", "-") == (0, export(rich, "jsonl").encode(), "")
    code, out, _ = say(rich, "--to", "chrome", "-o", "-")
    assert (code, bool(json.loads(out)["traceEvents"])) == (0, True)


def test_export_of_a_running_campaign_reads_what_is_written(tmp_path: Path, say: Say) -> None:
    campaign = Fabrication(tmp_path, metrics=(2.30, 2.32, 2.31))
    campaign.propose(EDIT, {"config.py": b"running\n"})
    code, out, _ = say(tmp_path, "--to", "jsonl")
    campaign.ledger.close()
    assert (code, [json.loads(line)["trial"] for line in out.splitlines()]) == (0, [0, 1])


def test_each_export_replaces_the_one_before_in_its_own_place(rich: Path, say: Say) -> None:
    for _ in range(2):
        code, out, err = say(rich, "--to", "chrome")
        assert (code, err) == (0, "")
        assert str(rich / "trace.json").encode() in out
    assert not list(rich.glob("*.part"))


def test_file_of_another_is_replaced_by_force_only(rich: Path, tmp_path: Path, say: Say) -> None:
    place = tmp_path / "results.tsv"
    place.write_text("mine")
    code, _, err = say(rich, "--to", "tsv", "-o", place)
    assert (code, err) == (
        1,
        f"codegraft: export: {place} is there; name another place, or give --force to replace it\n",
    )
    assert place.read_text() == "mine"
    assert say(rich, "--to", "tsv", "-o", place, "--force")[0] == 0
    assert place.read_text(encoding="utf-8") == export(rich, "tsv")


def test_the_campaign_itself_is_never_replaced(rich: Path, say: Say) -> None:
    ledger = (rich / LEDGER_FILE).read_bytes()
    for place in (rich / LEDGER_FILE, rich / "objects.git", rich):
        code, _, err = say(rich, "--to", "tsv", "-o", place, "--force")
        assert (code, "belongs to the campaign" in err) == (1, True)
    assert (rich / LEDGER_FILE).read_bytes() == ledger


def test_folder_without_a_campaign_is_refused_in_one_line(tmp_path: Path, say: Say) -> None:
    code, out, err = say(tmp_path, "--to", "tsv")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert "name the folder of a campaign" in err


def test_missing_extra_is_one_line_that_says_what_to_install() -> None:
    missing = replace(FORMATS["tsv"], name="trackio", needs=("no_such_module",))
    with pytest.raises(TrialError, match=r'no_such_module is not installed; pip install "codegraft\[trackio\]"'):
        missing.load()


def test_broken_write_leaves_the_export_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Fabrication(tmp_path, metrics=(2.30, 2.32)).ledger.close()
    before = export(tmp_path, "tsv")
    history = read_history(tmp_path)
    broken = replace(history, record=replace(history.record, baseline=(None,)))  # fails while it is written
    with pytest.raises(AttributeError):
        write_export(broken, FORMATS["tsv"], tmp_path / "x.tsv")
    assert (tmp_path / "x.tsv").read_text(encoding="utf-8") == before
    assert not list(tmp_path.glob("*.part"))
