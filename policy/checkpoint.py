"""Checkpoints: the weights of a network and the state of its optimizer as one safetensors file, never a pickle.

The file holds `network.<name>` and, once an update was made, Adam's `optimizer.<parameter>.<exp_avg|exp_avg_sq|step>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from policy.protocol import PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim import Adam

FORMAT = "codegraft-ppo-1"  # changes when the meaning of an input changes, even where all shapes stay
_MOMENTS = ("exp_avg", "exp_avg_sq")


def write_checkpoint(path: Path, network: nn.Module, optimizer: Adam) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, never a part."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        tensors |= {f"optimizer.{name}.{key}": value for key, value in optimizer.state.get(parameter, {}).items()}
    partial = path.with_name(f"{path.name}.partial")
    save_file(tensors, partial, metadata={"format": FORMAT})
    partial.replace(path)


def read_checkpoint(path: Path, network: nn.Module, optimizer: Adam) -> None:
    """Load a checkpoint, whole or not at all.

    Raises: PolicyError: the file cannot be read, or is no checkpoint of this network.
    """
    tensors = _read(path)
    trained = any(name.startswith("optimizer.") for name in tensors)
    _refuse_misfit(path, tensors, _expected_shapes(network, trained=trained))
    network.load_state_dict({name: tensors[f"network.{name}"] for name in network.state_dict()})
    optimizer.state.clear()
    if trained:
        for name, parameter in network.named_parameters():
            optimizer.state[parameter] = {key: tensors[f"optimizer.{name}.{key}"] for key in ("step", *_MOMENTS)}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get("format")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (OSError, SafetensorError) as error:
        raise PolicyError(
            f"{path}: cannot be read as a checkpoint ({error}); name a file that codegraft saved"
        ) from error
    if written != FORMAT:
        raise PolicyError(f"{path}: has the format {written!r}; this version of codegraft reads {FORMAT!r}")
    return tensors


def _expected_shapes(network: nn.Module, *, trained: bool) -> dict[str, tuple[int, ...]]:
    shapes = {f"network.{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if trained:
        for name, parameter in network.named_parameters():
            shapes |= {f"optimizer.{name}.{moment}": tuple(parameter.shape) for moment in _MOMENTS}
            shapes[f"optimizer.{name}.step"] = ()
    return shapes


def _refuse_misfit(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    for name in sorted(tensors.keys() | expected.keys()):
        found = tuple(tensors[name].shape) if name in tensors and tensors[name].dtype == torch.float32 else None
        if found != expected.get(name):
            wanted = f"float32 {expected[name]}" if name in expected else "nothing"
            raise PolicyError(f"{path}: {name} is {found}, this network has {wanted}; use the codegraft that saved it")
