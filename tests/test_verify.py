"""What `codegraft verify` finds, on a campaign of the toy target with one keep in it."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.ledger import LEDGER_FILE, read_record
from harness.objects import OBJECTS_FOLDER, ObjectStore
from harness.replay import Event, State
from harness.verify import verify
from mutator.edit import print_script

CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("verify") / "whole"
    options = ("--policy", "random", "--trials", "6", "--seed", "0", "--out", str(out))
    done = subprocess.run([CODEGRAFT, "search", "toy", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read_record(out).kept
    return out


@pytest.fixture
def campaign(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "c")


def faults(folder, *, rescores=False):
    return [fault for check in verify(folder, rescores=rescores) for fault in check.faults]


def file_of(folder, name):
    return folder / OBJECTS_FOLDER / "objects" / name[:2] / name[2:]


def flip(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def blob_of(folder, commit, path):
    command = ["git", "-c", "safe.directory=*", "-C", folder / OBJECTS_FOLDER, "rev-parse", f"{commit}:{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def rewrite(folder, type_, change):
    """Change events as a forger would who knows how they are chained."""
    with closing(sqlite3.connect(folder / LEDGER_FILE)) as connection:
        rows = connection.execute("SELECT ts, type, body FROM events ORDER BY seq").fetchall()
        connection.execute("DELETE FROM events")
        state = State()
        for ts, name, text in rows:
            body = json.loads(text)
            if name == type_:
                change(body)
            event = Event.after(state, ts, name, body)
            state.take(event)
            row = (event.seq, event.ts, event.type, event.body, event.chain)
            connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()


def test_an_untouched_campaign_has_a_line_with_figures_per_check(whole):
    done = subprocess.run([CODEGRAFT, "verify", whole], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ledger", "objects", "lineage", "course", "best"]
    assert "chain unbroken" in done.stdout
    assert "6 edits applied again, 6 verdicts and rewards recomputed" in done.stdout
    assert "trial 5 measured again on 4 seeds, bit for bit" in done.stdout


def test_damage_is_named_with_trial_and_file_and_all_of_it_is_listed(campaign):
    trials = read_record(campaign).trials
    blob = blob_of(campaign, trials[4].commit, "model.py")
    flip(file_of(campaign, blob))
    file_of(campaign, trials[1].commit).unlink()
    (campaign / OBJECTS_FOLDER / "refs/trials/3").write_text(f"{trials[3].commit}\n")
    done = subprocess.run(
        [CODEGRAFT, "verify", campaign, "--no-rescore", "--json"], capture_output=True, text=True, check=False
    )
    said = [fault for check in json.loads(done.stdout) for fault in check["faults"]]
    assert (done.returncode, done.stderr) == (1, "")
    assert any(blob in fault and "model.py) is damaged" in fault for fault in said)
    assert f"object {trials[1].commit} (trial 2, the commit) is missing" in said
    assert any(fault.startswith("refs/trials/3 points at") for fault in said)


def test_a_forged_verdict_is_found_though_the_chain_was_forged_with_it(campaign):
    rewrite(campaign, "judged", lambda body: body["verdict"].update(decision="keep") if body["number"] == 2 else None)
    assert any(fault.startswith("trial 2: verdict keep") for fault in faults(campaign))


def test_a_forged_reward_is_found(campaign):
    rewrite(campaign, "judged", lambda body: body["reward"]["terms"][0].__setitem__(1, 9.0))
    assert any("recomputed" in fault for fault in faults(campaign))


def test_a_forged_metric_is_found_by_measuring_the_best_program_again(campaign):
    def better(body):
        if body["number"] == 5:
            body["outcome"]["second"] = 0.5 * (body["outcome"]["second"] or 0.0)

    rewrite(campaign, "run", better)
    said = faults(campaign, rescores=True)
    assert said
    assert all(fault.startswith("trial 5: seed") and "second shard" in fault for fault in said)
    assert not faults(campaign)  # nothing else contradicts it


def test_an_edit_that_was_never_applied_is_found(campaign):
    store, record = ObjectStore(campaign), read_record(campaign)
    forged = {**store.files(record.trials[0].commit), "model.py": b"import os\n"}
    commit = store.commit(
        forged, store.parent(record.trials[0].commit), print_script(record.trials[0].script), time_s=1
    )
    store.mark_trial(1, commit)
    rewrite(
        campaign,
        "proposed",
        lambda body: body["proposal"].update(commit=commit) if body["proposal"]["number"] == 1 else None,
    )
    assert any("trial 1: its files are not those of snapshot" in fault for fault in faults(campaign))


def test_two_swapped_objects_are_found(campaign):
    trials = read_record(campaign).trials
    one, other = (file_of(campaign, trial.commit) for trial in trials[:2])
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    assert sum(fault.startswith("object ") and "is damaged" in fault for fault in faults(campaign)) == 2


def test_the_objects_of_another_campaign_and_a_foreign_ledger_are_found(campaign, tmp_path):
    shutil.rmtree(campaign / OBJECTS_FOLDER)
    ObjectStore(campaign).mark_best(ObjectStore(campaign).commit({"a.py": b""}, None, "another"))
    assert sum("is missing" in fault for fault in faults(campaign)) >= 6
    with closing(sqlite3.connect(tmp_path / LEDGER_FILE)) as connection:
        connection.execute("CREATE TABLE events (x)")
    assert ["not a ledger of codegraft" in fault for fault in faults(tmp_path)] == [True]
    assert ["no such file" in fault for fault in faults(tmp_path / "nowhere")] == [True]


def test_lost_events_at_the_end_are_found_by_what_was_stored_for_them(campaign):
    with closing(sqlite3.connect(campaign / LEDGER_FILE)) as connection:
        connection.execute("DELETE FROM events WHERE seq > 8")
        connection.commit()
    assert any("events are missing" in fault for fault in faults(campaign))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_found_or_harmless(whole, tmp_path, data):
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("campaign.lock", "*-shm"))
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = data.draw(st.sampled_from([folder / LEDGER_FILE, *paths]))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["flip", "truncate", "delete"])):
        case "flip":
            flip(path, at)
        case "truncate":
            path.write_bytes(content[:at])
        case _:
            path.unlink()
    assert faults(folder) or read_record(folder) == read_record(whole)
