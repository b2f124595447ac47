"""victoresque/pytorch-template: train.py itself with its config.json, on images that are made here. Needs pandas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.vision import stand_in_torchvision

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("train.py", "trainer", "base", "model", "data_loader", "utils", "logger", "parse_config.py")


def drive(probe: Probe) -> None:
    """Train two epochs of two steps."""
    stand_in_torchvision()
    config = json.loads((probe.folder / "config.json").read_text())
    config["n_gpu"] = 0
    config["trainer"].update(epochs=2, tensorboard=False)
    config["data_loader"]["args"].update(num_workers=0, batch_size=16)
    (probe.folder / "small.json").write_text(json.dumps(config))
    probe.script("train.py", "--config=small.json")
