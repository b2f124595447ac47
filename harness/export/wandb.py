"""A Weights & Biases run in offline mode, one step per trial: nothing is sent until somebody says `wandb sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.export.quiet import quietly
from harness.export.steps import facts_of, steps_of

if TYPE_CHECKING:
    from pathlib import Path

    from harness.export.history import History


def write(history: History, path: Path) -> None:
    """Write FOLDER/wandb/offline-run-*. What W&B collects about machine, repository and source by itself is left out."""
    with quietly(WANDB_MODE="offline", WANDB_ERROR_REPORTING="false", WANDB_SILENT="true"):
        import wandb  # noqa: PLC0415 - an extra

        settings = wandb.Settings(
            console="off", disable_code=True, disable_git=True, x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True
        )  # fmt: skip
        facts = facts_of(history)
        with wandb.init(
            project="codegraft", name=str(facts["campaign"]), dir=str(path), mode="offline", config=facts, settings=settings
        ) as run:  # fmt: skip
            for step in steps_of(history):
                run.log({**dict(step.values), "edit": step.said}, step=step.number)
