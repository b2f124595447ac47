"""Targets without any training, for measuring what is around it: tests/cases/noop with as many numbers to edit as a campaign needs."""

from __future__ import annotations

import shutil
from pathlib import Path

_SOURCE = Path(__file__).parent.parent / "tests" / "cases" / "noop"
_PER_LINE = 10
_IMPORT = "import numpy as np\n"


def write_noop(folder: Path, n_numbers: int, *, with_torch: bool = False) -> Path:
    """Write a target with so many numbers, each with three legal edits, and return its folder.

    with_torch: its training and its predictor import torch, and do nothing with it.
    """
    shutil.copytree(_SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    numbers = [f"{number + 8}" if number % 2 else f"{number + 8}.5" for number in range(n_numbers)]
    # Statements of a few numbers, as sources have them: what is parsed again for an edit is the statement.
    lines = (f"NUMBERS += [{', '.join(numbers[at : at + _PER_LINE])}]\n" for at in range(0, n_numbers, _PER_LINE))
    (folder / "config.py").write_text(f"NUMBERS = []\n{''.join(lines)}")
    for path in (folder / "train.py", folder / "predict.py") if with_torch else ():
        path.write_text(path.read_text().replace(_IMPORT, f"{_IMPORT}import torch\n"))
    return folder
