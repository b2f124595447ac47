"""Runs one scenario on the harness that its PYTHONPATH names: `python -m bench.faults.stage NAME FOLDER POINTS ROUNDS DAMAGES CONTROL`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bench.faults.fault import Pace
from bench.faults.rows import ROWS


def main(name: str, folder: str, *numbers: str) -> None:
    """Print what the scenario found as a line of JSON."""
    row = next(row for row in ROWS if row.name == name)
    points, rounds, damages, is_control = map(int, numbers)
    found = row.scenario(Path(folder), Pace(points, rounds, damages, bool(is_control)))
    sys.stdout.write(f"{json.dumps(found._asdict())}\n")
    sys.stdout.flush()
    os._exit(0)  # a thread of ours may wait for ever; the launchers end with this process


if __name__ == "__main__":
    main(*sys.argv[1:])
