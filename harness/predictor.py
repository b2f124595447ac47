"""The predictor's driver: edited code in a sandbox that turns inputs into outputs, and never sees a target.

It holds the model that a checkpoint describes and answers frames until the scorer closes the channel. The second predictor of a run
answers the probes, and runs none of the target's code before the first one is gone: two that live at the same time could agree on their
answers, since a process can show the other what it was asked (in its command line, by locks on the checkpoint, by its use of the CPU).
"""

from __future__ import annotations

import socket
from importlib import import_module
from pathlib import Path

import numpy as np

from harness.frames import receive_array, send_array
from harness.trial import FIRST_FD, load_entry


def serve_predictor(entry: str, checkpoint: str) -> None:
    """Load a predict function with the manifest's predictor and call it on each array that arrives."""
    with socket.socket(fileno=FIRST_FD) as channel:
        predict = load_entry(entry)(Path(checkpoint))
        while (inputs := receive_array(channel)) is not None:
            send_array(channel, np.asarray(predict(inputs)))


def serve_second_predictor(entry: str, checkpoint: str) -> None:
    """Do the same, from the arrival of the first question on."""
    with socket.socket(fileno=FIRST_FD) as channel:
        channel.recv(1, socket.MSG_PEEK)
        channel.detach()
    serve_predictor(entry, checkpoint)


def serve_exported(archive: str) -> None:
    """Load a graph that torch.export saved and run it on each array that arrives; no Python of the trial is in reach.

    TORCH_FORCE_WEIGHTS_ONLY_LOAD is set in this process: torch would otherwise fall back on unpickling the sample inputs.
    """
    with socket.socket(fileno=FIRST_FD) as channel:
        torch = import_module("torch")
        graph = import_module("torch.export").load(archive).module()
        while (inputs := receive_array(channel)) is not None:
            with torch.inference_mode():
                outputs = graph(torch.from_numpy(inputs))
            send_array(channel, outputs.detach().cpu().float().numpy())
