"""The kernel that makes measured effects likeliest: gradient ascent on the marginal likelihood over many tasks.

Source: Rasmussen and Williams 2006, eq. 2.30; one kernel for many tasks, Perrone et al. 2018 (arXiv:1712.02902), there with features.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from policy.effects import Kernel, read_gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from policy.traits import Floats, Traits

_MEANS = ("mean", "mean_bow")
_FIXED = ("trust",)
_RATE, _LEAST = 0.05, 1e-3
_CALM = 0.002  # weight of staying near where it began, per squared logarithm


@dataclass(frozen=True, slots=True)
class Measured:
    """What one task measured of N single edits."""

    traits: Traits
    gains: Floats  # (N,) sd, NaN where the run failed
    n_runs: Floats  # (N,)


def fit_kernel(tasks: Sequence[Measured], *, n_steps: int) -> tuple[Kernel, float]:
    """Return the kernel, and the mean negative log likelihood of a measurement under it."""
    logs = {
        name: torch.tensor(math.log(max(value, _LEAST)), requires_grad=True)
        for name, value in asdict(Kernel()).items()
        if name not in (*_MEANS, *_FIXED)
    }
    means = {name: torch.tensor(getattr(Kernel(), name), requires_grad=True) for name in _MEANS}
    start = {name: float(value.detach()) for name, value in logs.items()}
    optimizer, parts = torch.optim.Adam([*logs.values(), *means.values()], _RATE), [_compare(task) for task in tasks]
    for _ in range(n_steps):
        optimizer.zero_grad()
        values = {name: value.exp() for name, value in logs.items()} | means
        loss = torch.stack([_surprise(part, values) for part in parts]).mean()
        strayed = torch.stack([(value - start[name]).square() for name, value in logs.items()]).sum()
        (loss + _CALM * strayed).backward()
        optimizer.step()
    found = {name: float(value.detach()) for name, value in values.items()}
    return Kernel(**{each.name: found.get(each.name, getattr(Kernel(), each.name)) for each in fields(Kernel)}), float(
        loss.detach()
    )


def _compare(task: Measured) -> dict[str, Tensor]:
    """Return what a kernel's terms are made of."""
    traits = task.traits
    bent, noise = np.array([read_gain(*each) for each in zip(task.gains, task.n_runs, strict=True)]).T
    doublings, numbers = np.nan_to_num(traits.doublings), ~np.isnan(traits.doublings)
    squares = (traits.content**2).sum(1)
    arrays = {
        **{name: (words[:, None] == words).astype(float) for name, words in (
            ("kind", traits.kinds), ("site", traits.sites), ("unit", traits.units), ("edit", traits.edits))},
        "distance": np.maximum(squares[:, None] + squares - 2 * traits.content @ traits.content.T, 0.0),
        "both": np.outer(numbers, numbers).astype(float),
        "neither": np.outer(~numbers, ~numbers).astype(float),
        "moved": np.outer(doublings, doublings),
        "numbers": numbers.astype(float),
        "bent": bent,
        "noise": noise,
        "squares": doublings**2,
    }  # fmt: skip
    return {name: torch.from_numpy(np.asarray(array, np.float64)) for name, array in arrays.items()}


def _surprise(part: dict[str, Tensor], of: dict[str, Tensor]) -> Tensor:
    """Return the mean negative log likelihood of a task's measurements; the kernel is that of policy.effects."""
    near, place = torch.exp(-part["distance"] / of["length"]), part["kind"] * part["site"]
    words = of["any"] + of["kind"] * part["kind"] + of["site"] * part["site"] + of["unit"] * part["unit"]
    words = words + of["place"] * place + (of["content"] + of["kind_content"] * part["kind"]) * near
    curves = of["slope"] * part["moved"] * (place + near / 2) + (of["bow"] * place + of["any_bow"]) * part["moved"] ** 2
    own = (of["edit"] * part["neither"] + of["number"] * part["both"]) * part["edit"]
    covariance = part["both"] * curves + part["neither"] * words + own + torch.diag(part["noise"] + of["noise"])
    expected = torch.where(part["numbers"] > 0, of["mean_bow"] * part["squares"], of["mean"])
    root = torch.linalg.cholesky(covariance)
    left = torch.linalg.solve_triangular(root, (part["bent"] - expected)[:, None], upper=False)
    n = len(expected)
    return left.square().sum() / 2 / n + root.diagonal().log().mean() + math.log(2 * math.pi) / 2
