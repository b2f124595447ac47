"""Exports that other libraries read: Parquet, an Optuna study, and the trackers, each read back where its library is installed."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sqlite3
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings

from harness.export import FORMATS, find_place, read_history, write_export
from harness.export.steps import steps_of
from harness.values import Decision, Outcome, Status, TrialError
from mutator.edit import Edit, print_script
from tests.campaigns import FAILURES, SETTINGS, Fabrication, Plan, fabricated, plans, ran, write_rich

if TYPE_CHECKING:
    from collections.abc import Iterator

any_campaign = settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rich") / "demo"
    write_rich(folder, n_trials=40)
    return folder


def need(*modules: str) -> None:
    """Skip where an extra is not installed, without importing it."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def export(folder: Path, name: str) -> Path:
    place = find_place(folder, FORMATS[name], None, force=False)
    write_export(read_history(folder), FORMATS[name], place)
    return place


def export_elsewhere(folder: Path, name: str) -> Path:
    """Export in a process of its own: trackers look at their environment once per process, and some leave threads behind."""
    command = "from harness.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", command, "export", folder, "--to", name],
        capture_output=True, text=True, check=False, timeout=300, env=environment,
    )  # fmt: skip
    place = folder / FORMATS[name].place
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name:<9} {place}")
    return place


# --- folders ---------------------------------------------------------------------------------------------------------------------


def test_folder_of_another_is_never_replaced(rich: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrialError, match="codegraft did not write it; name another place"):
        find_place(rich, FORMATS["parquet"], tmp_path, force=True)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(TrialError, match="did not write it"):
        find_place(rich, FORMATS["parquet"], tmp_path / "link", force=True)


def test_folder_of_an_export_is_replaced_whole(rich: Path) -> None:
    need("pyarrow")
    place = export(rich, "parquet")
    (place / "old.parquet").write_text("of an older codegraft")
    assert {path.name for path in export(rich, "parquet").iterdir()} == {
        "codegraft-export.txt",
        "trials.parquet",
        "runs.parquet",
    }


# --- Parquet ---------------------------------------------------------------------------------------------------------------------


def tables(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    place = export(folder, "parquet")
    trials, runs = (parquet.read_table(place / f"{name}.parquet").to_pylist() for name in ("trials", "runs"))
    return trials, runs


def test_tables_give_back_what_the_ledger_has(rich: Path) -> None:
    need("pyarrow")
    record = read_history(rich).record
    trials, runs = tables(rich)
    assert [row["trial"] for row in trials] == list(range(41))
    for row, trial in zip(trials[1:], record.trials, strict=True):
        expected = None if math.isnan(trial.metric) else trial.metric
        assert (row["edit"], row["commit"], row["metric"]) == (print_script(trial.script), trial.commit, expected)
        assert (row["decision"], row["reward"]) == (trial.verdict.decision.value, trial.reward.total)
        assert {f"term_{name}": value for name, value in trial.reward.terms}.items() <= row.items()
        assert json.loads(row["choice"]) == dict(trial.script[0].choice)
    outcomes = [outcome for proposal in record.proposals for outcome in proposal.outcomes]
    assert len(runs) == len(record.baseline) + len(outcomes)
    assert {field.name for field in fields(Outcome)} - {"phases"} <= runs[0].keys()
    of_trials = [row for row in runs if row["role"] == "trial"]
    assert [(row["seed"], row["peak_rss_bytes"]) for row in of_trials] == [(o.seed, o.peak_rss_bytes) for o in outcomes]


def test_curve_and_phases_of_a_run_are_columns(tmp_path: Path) -> None:
    need("pyarrow")
    campaign = Fabrication(tmp_path, metrics=(2.3, 2.31))
    outcome = replace(ran(2.4, seed=0), curve=(3.0, math.nan), phases=(("train", 1.5), ("score", 0.25)))
    campaign.judge(campaign.propose(Edit("set-literal", "train:lr"), {"config.py": b"new"}), [outcome])
    campaign.finish("done")
    _, runs = tables(tmp_path)
    assert (runs[-1]["curve"], runs[-1]["phase_train_s"], runs[-1]["phase_score_s"]) == ([3.0, None], 1.5, 0.25)
    assert (runs[0]["curve"], runs[0]["phase_train_s"]) == ([], None)


def test_empty_campaign_has_the_same_columns(rich: Path, tmp_path: Path) -> None:
    need("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    Fabrication(tmp_path).ledger.close()
    for name in ("trials", "runs"):
        full, empty = (
            parquet.read_schema(export(folder, "parquet") / f"{name}.parquet") for folder in (rich, tmp_path)
        )
        assert {field for field in full if not field.name.startswith("term_")} == set(empty)


@any_campaign
@given(plan=plans())
def test_any_campaign_is_two_tables(plan: Plan) -> None:
    need("pyarrow")
    with fabricated(plan) as folder:
        record = read_history(folder).record
        trials, runs = tables(folder)
    assert len(trials) == 1 + len(record.proposals)
    assert len(runs) == len(record.baseline) + sum(len(proposal.outcomes) for proposal in record.proposals)


# --- Optuna ----------------------------------------------------------------------------------------------------------------------


def study_of(place: Path) -> Any:
    import optuna  # noqa: PLC0415 - an extra

    return optuna.load_study(study_name=None, storage=f"sqlite:///{place}")


def test_study_has_edits_as_parameters_and_fates_as_states(rich: Path) -> None:
    need("optuna")
    from optuna.distributions import CategoricalDistribution, FloatDistribution  # noqa: PLC0415 - an extra
    from optuna.trial import TrialState  # noqa: PLC0415 - an extra

    record = read_history(rich).record
    study = study_of(export(rich, "optuna"))
    assert (study.study_name, study.direction.name) == ("demo", "MINIMIZE")
    baseline, *trials = study.trials
    assert (baseline.params, baseline.user_attrs["edit"]) == ({}, "baseline")
    assert len(trials) == 40
    for found, trial in zip(trials, record.trials, strict=True):
        assert found.state is (TrialState.COMPLETE if trial.ok else TrialState.FAIL)
        assert found.value == (trial.metric if trial.ok else None)
        assert (found.user_attrs["trial"], found.user_attrs["commit"]) == (trial.number, trial.commit)
        assert found.user_attrs["verdict"] == trial.verdict.decision.value
        assert found.datetime_start <= found.datetime_complete
    literal = next(found for found in trials if found.params["kind"] == "scale-literal")
    assert isinstance(literal.distributions["scale-literal.by"], FloatDistribution)
    assert literal.distributions["scale-literal.by"].low <= literal.params["scale-literal.by"]
    assert isinstance(literal.distributions["site"], CategoricalDistribution)


def test_study_keeps_curves_prunings_and_the_direction(tmp_path: Path) -> None:
    need("optuna")
    from optuna.trial import TrialState  # noqa: PLC0415 - an extra

    campaign = Fabrication(tmp_path, replace(SETTINGS, direction="maximize"), metrics=(0.5, 0.51))
    edit = Edit("set-literal", "train:lr", (("to", True),))
    stopped = Outcome(Status.STOPPED, curve=(0.2, math.nan, 0.4))
    for outcome in (stopped, Outcome(Status.DUPLICATE), FAILURES[0], ran(0.6, seed=0)):
        campaign.judge(campaign.propose(edit, {"config.py": str(outcome).encode()}), [outcome])
    campaign.finish("done")
    study = study_of(export(tmp_path, "optuna"))
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE]
    assert [trial.state for trial in study.trials] == states
    assert study.trials[1].intermediate_values == {1: 0.2, 3: 0.4}
    assert study.trials[1].params["set-literal.to"] == "true"
    assert study.best_trial.number == 4


@settings(any_campaign, max_examples=3)  # a new study is a database with a schema: 1 s
@given(plan=plans())
def test_any_campaign_is_a_study(plan: Plan) -> None:
    need("optuna")
    with fabricated(plan) as folder:
        history = read_history(folder)
        study = study_of(export(folder, "optuna"))
        values = [trial.value for trial in study.trials]
    assert values == [entry.metric if math.isfinite(entry.metric) else None for entry in history.settled]


# --- trackers --------------------------------------------------------------------------------------------------------------------


@any_campaign
@given(plan=plans())
def test_any_campaign_is_steps_of_finite_numbers_and_short_lines(plan: Plan) -> None:
    with fabricated(plan) as folder:
        history = read_history(folder)
    steps = list(steps_of(history))
    assert [step.number for step in steps] == [entry.number for entry in history.settled]
    for step in steps:
        assert all(math.isfinite(value) for _, value in step.values)
        assert "\n" not in step.said
        assert len(step.said) <= 500


def test_best_follows_what_was_kept(rich: Path) -> None:
    history = read_history(rich)
    best, expected = {step.number: dict(step.values)["best"] for step in steps_of(history)}, {}
    level = history.baseline.metric
    for trial in history.record.trials:
        level = trial.metric if trial.verdict.decision is Decision.KEEP else level
        expected[trial.number] = level
    assert best == {0: history.baseline.metric, **expected}


def test_event_file_has_every_number_at_its_step(rich: Path) -> None:
    need("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415 - an extra

    (path,) = export(rich, "tensorboard").glob("events.out.*")
    found = {}
    for record in records(path.read_bytes()):
        event = Event.FromString(record)
        found |= {(event.step, value.tag): (value.simple_value, event.wall_time) for value in event.summary.value}
    for step in steps_of(read_history(rich)):
        for name, value in step.values:
            assert found[step.number, name] == (pytest.approx(value, rel=1e-6), pytest.approx(step.ts))


def records(data: bytes) -> Iterator[bytes]:
    """Walk a TFRecord file: length, its checksum, record, its checksum."""
    while data:
        length = int.from_bytes(data[:8], "little")
        yield data[12 : 12 + length]
        data = data[16 + length :]


@pytest.mark.slow
def test_mlflow_store_has_every_number_at_its_step(rich: Path) -> None:
    need("mlflow", "sqlalchemy", "alembic")
    place = export_elsewhere(rich, "mlflow")
    with sqlite3.connect(place / "mlflow.db") as store:
        found = {(step, name): value for step, name, value in store.execute("SELECT step, key, value FROM metrics")}
        params = dict(store.execute("SELECT key, value FROM params"))
    store.close()
    expected = {(step.number, name): value for step in steps_of(read_history(rich)) for name, value in step.values}
    assert found == expected
    assert (params["target"], params["metric"]) == ("bytelm", "val_bpb")


@pytest.mark.slow
def test_trackio_project_has_every_number_at_its_step(rich: Path) -> None:
    need("trackio")
    place = export_elsewhere(rich, "trackio")
    (path,) = place.glob("*.db")
    with sqlite3.connect(path) as store:
        found = {step: json.loads(values) for step, values in store.execute("SELECT step, metrics FROM metrics")}
    store.close()
    for step in steps_of(read_history(rich)):
        assert dict(step.values).items() <= found[step.number].items()


@pytest.mark.slow
def test_wandb_run_is_offline_and_names_no_source_and_no_machine(rich: Path) -> None:
    need("wandb")
    place = export_elsewhere(rich, "wandb")
    (run,) = place.glob("wandb/offline-run-*")
    (data,) = run.glob("*.wandb")
    assert b"reward/novelty" in data.read_bytes()
    assert not list(run.rglob("wandb-metadata.json"))
    assert not list(run.rglob("*.py"))
