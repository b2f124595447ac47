"""A Trackio project in a folder of its own, one step per trial; its time stamps are those of the export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.export.quiet import quietly
from harness.export.steps import facts_of, steps_of
from harness.values import TrialError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.export.history import History


def write(history: History, path: Path) -> None:
    """Write FOLDER/codegraft.db.

    Raises: TrialError: this process has used Trackio before, which looks for its folder only once.
    """
    with quietly(TRACKIO_DIR=str(path.absolute()), HF_HUB_OFFLINE="1"):
        import trackio  # noqa: PLC0415 - an extra
        from trackio.utils import TRACKIO_DIR  # noqa: PLC0415 - an extra

        if path.absolute() != TRACKIO_DIR:
            raise TrialError(f"export: this process writes Trackio's {TRACKIO_DIR} already; export from a new one")
        facts = facts_of(history)
        trackio.init(
            "codegraft", name=str(facts["campaign"]), config=facts, embed=False, auto_log_gpu=False, auto_log_cpu=False
        )
        for step in steps_of(history):
            trackio.log({**dict(step.values), "edit": step.said}, step=step.number)
        trackio.finish()
