"""Checkpoints: the weights of a network, the state of its optimizer, and what it brings from other targets, as one safetensors file.

The file holds `network.<name>`, once an update was made Adam's `optimizer.<parameter>.<exp_avg|exp_avg_sq|step>`, and where there is
a prior `prior.<part>`; its metadata say format, kernel and recipe, as JSON. Never a pickle.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from policy.content import CHOICE_WIDTH, SITE_WIDTH
from policy.kernel import Kernel
from policy.prior import Points, Prior
from policy.protocol import PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim import Adam

FORMAT = "codegraft-ppo-2"  # changes when the meaning of an input changes, even where all shapes stay
ABOUT = "codegraft"  # the key of the metadata
_MOMENTS = ("exp_avg", "exp_avg_sq")
_MAY_BE_NAN = ("prior.doublings",)  # of edits that move no number
_POINTS = ("kinds", "sites", "choices", "doublings")
_SHAPES = {
    "kinds": (torch.int64, ()),
    "sites": (torch.float32, (SITE_WIDTH,)),
    "choices": (torch.float32, (CHOICE_WIDTH,)),
    "doublings": (torch.float64, ()),
    "weights": (torch.float64, (2,)),
}


@dataclass(frozen=True, slots=True)
class Schooling:
    """What a policy brings beside its weights."""

    kernel: Kernel = field(default_factory=Kernel)
    prior: Prior | None = None
    recipe: str = "{}"  # JSON: how it came about


def write_checkpoint(path: Path, network: nn.Module, optimizer: Adam, schooling: Schooling) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, never a part.

    Raises: PolicyError: it cannot be written there.
    """
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        tensors |= {f"optimizer.{name}.{key}": value for key, value in optimizer.state.get(parameter, {}).items()}
    if schooling.prior is not None:
        points = schooling.prior.points
        arrays = [getattr(points, part) for part in _POINTS]
        tensors |= {
            f"prior.{part}": torch.from_numpy(array.copy()) for part, array in zip(_POINTS, arrays, strict=True)
        }
        tensors["prior.weights"] = torch.from_numpy(schooling.prior.weights.copy())
    partial = path.with_name(f"{path.name}.partial")
    about = {"format": FORMAT, "kernel": asdict(schooling.kernel), "recipe": json.loads(schooling.recipe)}
    metadata = {ABOUT: json.dumps(about)}  # one entry: safetensors writes several in no fixed order
    try:
        save_file(tensors, partial, metadata=metadata)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise PolicyError(f"{path}: cannot be written ({error}); name another file") from error


def read_checkpoint(path: Path, network: nn.Module, optimizer: Adam) -> Schooling:
    """Load a checkpoint, whole or not at all.

    Raises: PolicyError: the file cannot be read, or is no checkpoint of this network.
    """
    tensors, about = _read(path)
    schooling = Schooling(_read_kernel(path, about), _read_prior(path, tensors), json.dumps(about.get("recipe", {})))
    trained = any(name.startswith("optimizer.") for name in tensors)
    _refuse_misfit(path, tensors, _expected_shapes(network, trained=trained))
    network.load_state_dict({name: tensors[f"network.{name}"] for name in network.state_dict()})
    optimizer.state.clear()
    if trained:
        for name, parameter in network.named_parameters():
            optimizer.state[parameter] = {key: tensors[f"optimizer.{name}.{key}"] for key in ("step", *_MOMENTS)}
    return schooling


def _read_kernel(path: Path, about: Mapping[str, Any]) -> Kernel:
    try:
        kernel = Kernel(**{name: float(value) for name, value in about["kernel"].items()})
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise PolicyError(f"{path}: its kernel cannot be read ({error}); use a file that codegraft saved") from error
    if not all(math.isfinite(value) for value in asdict(kernel).values()):
        raise PolicyError(f"{path}: its kernel is not finite; use a file that codegraft saved")
    if not kernel.is_sound:
        raise PolicyError(
            f"{path}: its kernel has variances or distances that are none; use a file that codegraft saved"
        )
    return kernel


def _read_prior(path: Path, tensors: dict[str, Tensor]) -> Prior | None:
    """Take the prior out of a checkpoint's tensors."""
    parts = {name: tensors.pop(f"prior.{name}") for name in (*_POINTS, "weights") if f"prior.{name}" in tensors}
    if not parts:
        return None
    found = {name: (part.dtype, tuple(part.shape[1:]), len(part)) for name, part in parts.items() if part.ndim}
    n = len(parts["weights"]) if "weights" in found else 0
    expected = {name: (*each, n) for name, each in _SHAPES.items()}
    if found != expected:
        raise PolicyError(f"{path}: its prior does not fit this version of codegraft; use the codegraft that saved it")
    arrays = {name: part.numpy() for name, part in parts.items()}
    weights = arrays.pop("weights")
    return Prior(Points(**arrays), weights)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = _parse((file.metadata() or {}).get(ABOUT, ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (OSError, SafetensorError) as error:
        raise PolicyError(
            f"{path}: cannot be read as a checkpoint ({error}); name a file that codegraft saved"
        ) from error
    if (written := about.get("format")) != FORMAT:
        raise PolicyError(f"{path}: has the format {written!r}; this version of codegraft reads {FORMAT!r}")
    for name, tensor in tensors.items():
        if name not in _MAY_BE_NAN and not tensor.isfinite().all():
            raise PolicyError(f"{path}: {name!r} is not finite; use a file that codegraft saved")
    return tensors, about


def _parse(text: str) -> dict[str, Any]:
    """Read the metadata; what is no JSON object says nothing."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


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
            raise PolicyError(
                f"{path}: {name!r} is {found}, this network has {wanted}; use the codegraft that saved it"
            )
