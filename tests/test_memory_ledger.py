import math
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.ledger import LEDGER_FILE, Ledger, read_record
from harness.record import Final, Proposal, Recheck, Record, Settings
from harness.replay import Event
from harness.values import Decision, Outcome, Reward, Scoring, Status, Trial, TrialError, Verdict
from mutator.edit import Edit

SETTINGS = Settings("/targets/bytelm", "digest", "bytelm", "val_bpb", "minimize", "ppo", 7, 100, 2, 3)
EDIT = Edit("set-literal", "train:lr", (("to", 3e-4),), "3f9a2c81")
OK = Outcome(Status.OK, 1.25, seed=3, wall_s=2.5, cpu_s=2.25, peak_rss_bytes=1 << 33, steps=600, log_tail="step 600\n")
CRASH = Outcome(Status.FAILED, detail="exit status 1", log_tail="\x00\x1b[31m\udcff</script>")
LOST = Verdict(Decision.DISCARD, math.nan, math.nan, math.nan, "failed")
KEEP = Verdict(Decision.KEEP, 1.9, 0.1, 3.5, "better")
REWARD = Reward((("metric", 1.97), ("novelty", 0.25), ("complexity", -0.05)))


def proposal(number: int, parent: int = 0) -> Proposal:
    return Proposal(number, parent, (EDIT, replace(EDIT, site="train:wd")), f"snapshot {number}", f"{number:040x}")


def start(folder: Path, *, events: int = 99) -> Ledger:
    """A campaign with one kept, one failed and one unfinished trial, or its first events."""
    ledger = Ledger.create(folder, SETTINGS)
    steps = [
        lambda: ledger.add_baseline(0, OK),
        lambda: ledger.add_baseline(1, OK),
        lambda: ledger.add_proposal(proposal(1)),
        lambda: ledger.add_proposal(proposal(2)),
        lambda: ledger.add_run(1, 0, OK),
        lambda: ledger.add_run(2, 0, CRASH),
        lambda: ledger.add_run(1, 1, replace(OK, seed=4)),
        lambda: ledger.add_verdict(1, KEEP, REWARD),
        lambda: ledger.add_verdict(2, LOST, Reward((("failure", -5.0),))),
        lambda: ledger.add_proposal(proposal(5, 1)),
        lambda: ledger.add_run(5, 0, OK),
    ]
    for step in steps[:events]:
        step()
    return ledger


def bits(value: object) -> object:
    """Every leaf with its type, floats by their bits (there is one NaN)."""
    if isinstance(value, tuple):
        return tuple(bits(item) for item in value)
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return type(value).__name__, struct.pack("<d", value) if isinstance(value, float) else value


def test_a_record_is_the_replay_of_its_events(tmp_path):
    with start(tmp_path) as ledger:
        record = ledger.record
    assert bits(astuple(record)) == bits(astuple(read_record(tmp_path)))
    assert record.settings == SETTINGS
    assert record.baseline == (OK, OK)
    assert [p.number for p in record.proposals] == [1, 2, 5]
    both_seeds = (OK, replace(OK, seed=4))
    assert record.trials[0] == Trial(1, 0, proposal(1).script, "snapshot 1", f"{1:040x}", both_seeds, KEEP, REWARD, 1.0)
    assert record.trials[1].status is Status.FAILED
    assert record.pending == (replace(proposal(5, 1), outcomes=(OK,)),)
    assert record.incumbent == record.trials[0]
    assert record.kept == record.trials[:1]


def test_a_verdict_returns_its_trial(tmp_path):
    with start(tmp_path) as ledger:
        assert ledger.add_verdict(5, KEEP, REWARD) == ledger.record.trials[-1]


floats = st.floats(allow_nan=True, allow_infinity=True)
texts = st.text(max_size=8)
scalars = st.one_of(floats, texts, st.booleans(), st.integers())
outcomes = st.builds(
    Outcome,
    *(
        st.sampled_from(Status),
        floats,
        st.integers(),
        floats,
        floats,
        st.integers(),
        st.integers(),
        texts,
        texts,
        texts,
        texts,
        floats,
        st.lists(floats, max_size=3).map(tuple),
        floats,
        st.lists(st.tuples(texts, floats), max_size=2).map(tuple),
    ),
)
edits = st.builds(Edit, texts, texts, st.lists(st.tuples(texts, scalars), max_size=3).map(tuple), texts)
verdicts = st.builds(Verdict, st.sampled_from(Decision), floats, floats, floats, texts, floats)
rewards = st.builds(Reward, st.lists(st.tuples(texts, floats), max_size=3).map(tuple))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(outcomes, min_size=1, max_size=3), st.lists(edits, max_size=3), st.lists(texts), verdicts, rewards)
def test_every_value_comes_back_bit_for_bit(tmp_path, runs, script, promises, verdict, reward):
    if not (tmp_path / LEDGER_FILE).exists():
        Ledger.create(tmp_path, SETTINGS).close()
    with Ledger(tmp_path) as ledger:
        number = len(ledger.record.proposals) + 1
        made = replace(proposal(number), script=tuple(script), promises=tuple(promises))
        ledger.add_proposal(made)
        for index, run in enumerate(runs):
            ledger.add_run(made.number, index, run)
        ledger.add_verdict(made.number, verdict, reward)
    trial = Trial(number, 0, made.script, made.snapshot, made.commit, tuple(runs), verdict, reward)
    record = read_record(tmp_path)
    assert bits(astuple(record.trials[-1])) == bits(astuple(trial))
    assert record.proposals[-1].promises == made.promises


def test_every_prefix_of_a_campaign_can_be_resumed(tmp_path):
    for events in range(12):
        folder = tmp_path / str(events)
        with start(folder, events=events) as ledger:
            before = ledger.record
        with Ledger(folder) as ledger:
            assert bits(astuple(ledger.record)) == bits(astuple(before))


def test_a_stop_holds_until_something_else_happens(tmp_path):
    with start(tmp_path) as ledger:
        assert ledger.record.stop_reason is None
        ledger.stop("interrupted by the user")
        ledger.stop("100 trials are done")
        assert read_record(tmp_path).stop_reason == "100 trials are done"
        ledger.add_proposal(proposal(6))
        assert ledger.record.stop_reason is None


def test_records_are_equal_when_the_same_things_happened(tmp_path):
    for name in ("a", "b"):
        start(tmp_path / name).close()
    assert bits(astuple(read_record(tmp_path / "a"))) == bits(astuple(read_record(tmp_path / "b")))
    Ledger.create(tmp_path / "c", SETTINGS).close()
    assert read_record(tmp_path / "c") == Record(SETTINGS)


REFUSED = {
    "a second verdict": lambda ledger: ledger.add_verdict(1, KEEP, REWARD),
    "a verdict on nothing": lambda ledger: ledger.add_verdict(4, KEEP, REWARD),
    "a run of a judged trial": lambda ledger: ledger.add_run(1, 2, OK),
    "a run of nothing": lambda ledger: ledger.add_run(4, 0, OK),
    "the same run twice": lambda ledger: ledger.add_run(5, 0, OK),
    "a run too far": lambda ledger: ledger.add_run(5, 2, OK),
    "a baseline run out of order": lambda ledger: ledger.add_baseline(3, OK),
    "a number twice": lambda ledger: ledger.add_proposal(proposal(5)),
    "a number that falls": lambda ledger: ledger.add_proposal(proposal(3)),
    "a proposal with outcomes": lambda ledger: ledger.add_proposal(replace(proposal(6), outcomes=(OK,))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_event_that_contradicts_the_ledger_is_refused_and_leaves_no_trace(tmp_path, name):
    with start(tmp_path) as ledger:
        before = ledger.record
        with pytest.raises(TrialError, match=LEDGER_FILE):
            REFUSED[name](ledger)
        assert repr(ledger.record) == repr(before) == repr(read_record(tmp_path))
        ledger.add_run(5, 1, OK)


def test_a_trial_is_not_judged_before_it_ran(tmp_path):
    with start(tmp_path, events=3) as ledger, pytest.raises(TrialError, match="judged before it ran"):
        ledger.add_verdict(1, KEEP, REWARD)


def one_line(folder: Path, said: str) -> None:
    for opened in (read_record, Ledger):
        with pytest.raises(TrialError, match=said) as caught:
            opened(folder)
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)


def test_a_folder_that_is_no_campaign_is_refused_in_one_line(tmp_path):
    one_line(tmp_path / "none", "name the folder of a campaign")
    one_line(tmp_path, "no such file")
    (tmp_path / LEDGER_FILE).write_bytes(b"")
    one_line(tmp_path, "is not a ledger")
    (tmp_path / LEDGER_FILE).write_bytes(b"number,metric\n" * 1000)
    one_line(tmp_path, "file is not a database")


def test_a_foreign_sqlite_file_is_refused_in_one_line(tmp_path):
    connection = sqlite3.connect(tmp_path / LEDGER_FILE)
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, ts REAL, type TEXT, body TEXT)")
    connection.commit()
    connection.close()
    one_line(tmp_path, "is not a ledger")


def test_a_ledger_of_another_version_is_refused_in_one_line(tmp_path):
    start(tmp_path).close()
    change(tmp_path, "PRAGMA user_version = 1")
    one_line(tmp_path, "has version 1")


@pytest.mark.parametrize("kept", [0.1, 0.4, 0.7, 0.95])
def test_a_truncated_ledger_is_refused_in_one_line(tmp_path, kept):
    with start(tmp_path) as ledger:
        for index in range(200):
            ledger.add_run(5, index + 1, OK)
    path = tmp_path / LEDGER_FILE
    os.truncate(path, int(path.stat().st_size * kept))
    one_line(tmp_path, LEDGER_FILE)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM events WHERE seq = 4", "event 5 follows event 3"),
        ("DELETE FROM events", "holds no event"),
        ("UPDATE events SET body = substr(body, 1, 30) WHERE seq = 6", "event 6 is not what was written"),
        ("UPDATE events SET body = replace(body, '1.25', '1.24') WHERE seq = 6", "event 6 is not what was written"),
        ("UPDATE events SET ts = ts + 1 WHERE seq = 7", "event 7 is not what was written"),
        ("UPDATE events SET type = 'dreamt' WHERE seq = 7", "event 7 is not what was written"),
        ("DROP TABLE events", "no such table"),
    ],
)
def test_a_damaged_ledger_is_refused_in_one_line(tmp_path, statement, said):
    start(tmp_path).close()
    change(tmp_path, statement)
    one_line(tmp_path, said)


@pytest.mark.parametrize(
    ("type_", "body", "said"),
    [
        ("run", {"number": 5}, "event 13 .run. cannot be read"),
        ("baseline", {"index": 2, "outcome": {"status": "fine"}}, "event 13 .baseline. cannot be read"),
        ("judged", {"number": 1, "verdict": KEEP, "reward": REWARD}, "trial 1 is judged already"),
        ("rechecked", {"trial": 5}, "trial 5 is evaluated again before it was judged"),
        ("dreamt", {}, "'dreamt' is unknown"),
    ],
)
def test_an_event_that_cannot_follow_is_refused_though_nobody_changed_it(tmp_path, type_, body, said):
    with start(tmp_path) as ledger:
        event = Event.after(ledger._state, 0.0, type_, body)
    with sqlite3.connect(tmp_path / LEDGER_FILE) as connection:
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", astuple(event))
    connection.close()
    one_line(tmp_path, said)


def test_what_was_looked_at_again_comes_back(tmp_path):
    with start(tmp_path) as ledger:
        ledger.add_recheck(Recheck(1, OK, CRASH))
        ledger.add_final(Final(1, "without set-literal@train:lr", Scoring.FINAL, OK))
    record = read_record(tmp_path)
    assert (record.rechecks[0].trial, record.rechecks[0].incumbent, record.rechecks[0].baseline.status) == (
        1,
        OK,
        Status.FAILED,
    )
    assert record.finals == (Final(1, "without set-literal@train:lr", Scoring.FINAL, OK),)


def change(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / LEDGER_FILE)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_second_campaign_in_the_same_folder_is_refused(tmp_path):
    start(tmp_path).close()
    with pytest.raises(TrialError, match="holds a campaign already"):
        Ledger.create(tmp_path, SETTINGS)
    assert len(read_record(tmp_path).trials) == 2


def test_a_half_made_ledger_is_made_again(tmp_path):
    (tmp_path / "ledger.draft").write_bytes(b"killed while it was written")
    start(tmp_path).close()
    assert len(read_record(tmp_path).trials) == 2


def test_a_disk_that_refuses_is_one_line_and_loses_nothing(tmp_path):
    with start(tmp_path) as ledger:
        before = ledger.record
        limit = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {limit}")
        with pytest.raises(TrialError, match="database or disk is full") as caught:
            ledger.add_run(5, 1, replace(OK, log_tail="x" * 100_000))
        assert "\n" not in str(caught.value)
        assert repr(ledger.record) == repr(before)
    assert repr(read_record(tmp_path)) == repr(before)


APPEND = """
import sys
from pathlib import Path
from harness.ledger import Ledger
from harness.record import Proposal
from harness.values import Decision, Outcome, Reward, Status, Verdict
from mutator.edit import Edit

with Ledger(Path(sys.argv[1])) as ledger:
    first = len(ledger.record.proposals) + 1
    for number in range(first, first + 1_000_000):
        ledger.add_proposal(Proposal(number, 0, (Edit("k", "s"),), "", ""))
        ledger.add_run(number, 0, Outcome(Status.OK, float(number)))
        print("run", number, flush=True)
        if number % 7 == 0:
            ledger.add_verdict(number, Verdict(Decision.DISCARD, 0.0, 0.0, 0.0, ""), Reward(()))
            print("judged", number, flush=True)
"""


def spawn(folder: Path) -> subprocess.Popen[str]:
    repository = Path(__file__).parent.parent
    command = [sys.executable, "-c", APPEND, str(folder)]
    return subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], lines: int) -> list[str]:
    """Kill the writer while it appends and return all that it was told is written."""
    acknowledged = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return [line.strip() for line in (*acknowledged, *rest.splitlines(keepends=True)) if line.endswith("\n")]


def test_no_acknowledged_event_is_lost_to_kill_nine(tmp_path):
    Ledger.create(tmp_path, SETTINGS).close()
    acknowledged: list[str] = []
    for lines in (1, 20, 150, 7, 63):
        acknowledged += kill_after(spawn(tmp_path), lines)
        record = read_record(tmp_path)
        runs = {proposal.number for proposal in record.proposals if proposal.outcomes}
        judged = {trial.number for trial in record.trials}
        assert {int(line.split()[1]) for line in acknowledged if line.startswith("run")} <= runs
        assert {int(line.split()[1]) for line in acknowledged if line.startswith("judged")} <= judged
        assert all(p.outcomes == (Outcome(Status.OK, float(p.number)),) for p in record.proposals if p.outcomes)


def test_a_second_writer_is_refused_while_the_first_one_lives(tmp_path):
    Ledger.create(tmp_path, SETTINGS).close()
    writer = spawn(tmp_path)
    assert writer.stdout.readline() == "run 1\n"
    with pytest.raises(TrialError, match="another process runs this campaign") as caught:
        Ledger(tmp_path)
    assert "\n" not in str(caught.value)
    assert read_record(tmp_path).proposals
    kill_after(writer, 1)
    with Ledger(tmp_path) as ledger:
        ledger.stop("taken over")


def test_a_closed_ledger_releases_the_campaign_and_takes_no_event(tmp_path):
    ledger = start(tmp_path)
    with pytest.raises(TrialError, match="another process"):
        Ledger(tmp_path)
    ledger.close()
    with pytest.raises(TrialError, match="closed"):
        ledger.stop("late")
    Ledger(tmp_path).close()


def interrupt_after(n_lines: int, call: Callable[[], object]) -> bool:
    """Raise KeyboardInterrupt, as a signal does, before a line of ledger or replay in a call; say whether it has that many."""
    left = n_lines

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("harness/ledger.py", "harness/replay.py")):
            return None
        left -= event == "line"
        if left < 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_interrupt_at_any_line_of_an_append_leaves_a_ledger_that_goes_on(tmp_path):
    start(tmp_path / "c").close()
    n_lines = 0
    while True:
        folder = shutil.copytree(tmp_path / "c", tmp_path / f"{n_lines}")
        with Ledger(folder) as ledger:
            was_interrupted = interrupt_after(n_lines, lambda ledger=ledger: ledger.add_verdict(5, LOST, REWARD))
            ledger.stop("interrupted")
            record = ledger.record
        assert read_record(folder) == record
        assert len(record.trials) == 3 or was_interrupted
        if not was_interrupted:
            break
        n_lines += 1
    assert n_lines > 20
