"""An MLflow run in a SQLite store of its own: facts as parameters, one step per trial, the edit of each step as a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from harness.export.quiet import quietly
from harness.export.steps import facts_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.export.history import History

T = TypeVar("T")

_BATCH = 100  # of parameters, or of tags: what MLflow takes in one call; of metrics it takes ten times as many


def write(history: History, path: Path) -> None:
    """Write FOLDER/mlflow.db."""
    with quietly(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true"):
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - an extra
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - an extra

        client = MlflowClient(f"sqlite:///{path.absolute() / 'mlflow.db'}")
        experiment = client.create_experiment("codegraft", artifact_location=(path.absolute() / "artifacts").as_uri())
        steps = list(steps_of(history))
        start = round(1000 * (history.began(history.baseline) or 0.0))
        run = client.create_run(experiment, start_time=start, run_name=str(facts_of(history)["campaign"])).info.run_id
        client.log_batch(run, params=[Param(name, str(value)) for name, value in facts_of(history).items()])
        metrics = [
            Metric(name, value, round(1000 * step.ts), step.number) for step in steps for name, value in step.values
        ]
        for some in _batches(metrics, 10 * _BATCH):
            client.log_batch(run, metrics=some)
        for some in _batches([RunTag(f"trial.{step.number:05}", step.said) for step in steps], _BATCH):
            client.log_batch(run, tags=some)
        end = max((round(1000 * step.ts) for step in steps), default=start)
        client.set_terminated(run, status="FINISHED" if history.record.stop_reason else "RUNNING", end_time=end)


def _batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
