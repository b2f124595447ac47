"""TensorBoard event files, one step per trial; the edits are under Text, the facts of the campaign too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.export.steps import facts_of, steps_of

if TYPE_CHECKING:
    from pathlib import Path

    from harness.export.history import History


def write(history: History, path: Path) -> None:
    """Write one event file into a folder."""
    from tensorboardX import SummaryWriter  # noqa: PLC0415 - an extra

    with SummaryWriter(logdir=str(path)) as board:
        board.add_text(
            "campaign", _verbatim("\n".join(f"{name}: {value}" for name, value in facts_of(history).items()))
        )
        for step in steps_of(history):
            for name, value in step.values:
                board.add_scalar(name, value, step.number, walltime=step.ts)
            board.add_text("edit", _verbatim(step.said), step.number, walltime=step.ts)


def _verbatim(text: str) -> str:
    """Keep TensorBoard from reading Markdown in it: indented text is code."""
    return "\n".join(f"    {line}" for line in text.splitlines())
