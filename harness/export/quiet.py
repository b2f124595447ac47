"""The walls around experiment trackers: they read the environment when they are imported, print, and like to call home."""

from __future__ import annotations

import os
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIXES = (
    "TRACKIO_",
    "WANDB_",
    "MLFLOW_",
)  # what a user has set for trackers leads to other places, or to the network


@contextmanager
def quietly(**environment: str) -> Iterator[None]:
    """Run with these variables, without those that lead a tracker elsewhere, and with nothing on stdout."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_PREFIXES):
            del os.environ[name]
    os.environ.update(environment)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
