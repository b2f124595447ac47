"""The formats by name, and how an export gets its place: whole or not at all, and never over what is not ours.

A format is a function `write(history, path)` in a module of its own, which is imported when it is asked for. Formats of one file are
written beside their place and renamed. Formats of a folder leave a mark in it, and only a folder with that mark is replaced.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from harness.values import TrialError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.export.history import History

_MARK = "codegraft-export.txt"
_MARK_TEXT = "Written by `codegraft export`, which replaces this folder whole; nothing else belongs here.\n"


class Writer(Protocol):
    """What a format is."""

    def __call__(self, history: History, path: Path) -> None:
        """Write a campaign to a file that is not there, or into an empty folder."""


@dataclass(frozen=True, slots=True)
class Format:
    """What there is to know of a format before it is used."""

    name: str
    place: str  # in the campaign's folder
    says: str  # what it holds and what opens it
    needs: tuple[str, ...] = ()  # modules of the extra that has the format's name
    is_folder: bool = False
    to_stdout: bool = False  # where nobody names a place

    @property
    def is_text(self) -> bool:
        """Whether it can go to stdout."""
        return not self.is_folder and not self.needs

    def load(self) -> Writer:
        """Import what writes it.

        Raises: TrialError: its extra is not installed.
        """
        for module in self.needs:
            if find_spec(module) is None:
                raise TrialError(f'export: {module} is not installed; pip install "codegraft[{self.name}]"')
        writer: Writer = import_module(f"harness.export.{self.name}").write
        return writer


FORMATS = {
    each.name: each
    for each in (
        Format(
            "tsv", "results.tsv", "karpathy/autoresearch's five columns: its notebook, spreadsheets", to_stdout=True
        ),
        Format("jsonl", "trials.jsonl", "a line per trial with all that is known: jq, pandas, DuckDB", to_stdout=True),
        Format("chrome", "trace.json", "timeline of the slots: ui.perfetto.dev, chrome://tracing"),
        Format(
            "parquet",
            "parquet",
            "trials.parquet, a row per trial, and runs.parquet, a row per run: pandas, DuckDB",
            ("pyarrow",),
            is_folder=True,
        ),
        Format("optuna", "optuna.db", "a study: optuna-dashboard sqlite:///FILE", ("optuna",)),
        Format(
            "tensorboard",
            "tensorboard",
            "a step per trial: tensorboard --logdir FOLDER",
            ("tensorboardX",),
            is_folder=True,
        ),
        Format(
            "mlflow",
            "mlflow",
            "a step per trial: mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db",
            ("mlflow", "sqlalchemy", "alembic"),
            is_folder=True,
        ),
        Format(
            "wandb",
            "wandb",
            "an offline run, a step per trial: wandb sync FOLDER/wandb/offline-run-*",
            ("wandb",),
            is_folder=True,
        ),
        Format("trackio", "trackio", "a step per trial: TRACKIO_DIR=FOLDER trackio show", ("trackio",), is_folder=True),
    )
}


def find_place(campaign: Path, format_: Format, out: Path | None, *, force: bool) -> Path:
    """Return where an export goes: where it is told to, else its place in the campaign's folder.

    Raises: TrialError: something is there that an export may not replace.
    """
    place = campaign / format_.place
    if out is None or out.absolute() == place.absolute():
        force = True
    else:
        place = out
        if place.exists() and place.resolve().is_relative_to(campaign.resolve()):
            raise TrialError(f"export: {place} belongs to the campaign; name another place")
    if not place.exists() and not place.is_symlink():
        return place
    if format_.is_folder:
        if not place.is_dir() or place.is_symlink() or (any(place.iterdir()) and not (place / _MARK).is_file()):
            raise TrialError(f"export: {place} is there and codegraft did not write it; name another place")
    elif not place.is_file():
        raise TrialError(f"export: {place} is no file; name another place")
    elif not force:
        raise TrialError(f"export: {place} is there; name another place, or give --force to replace it")
    return place


def write_export(history: History, format_: Format, place: Path) -> None:
    """Write a campaign to a place that `find_place` gave.

    Raises: TrialError: the format's extra is not installed.
    """
    write = format_.load()
    if not format_.is_folder:
        draft = place.with_name(f"{place.name}.part")
        draft.unlink(missing_ok=True)
        try:
            write(history, draft)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
        return
    if place.exists():
        shutil.rmtree(place)
    place.mkdir()
    (place / _MARK).write_text(_MARK_TEXT, encoding="utf-8")
    write(history, place)
