"""The one door to the policies: a name and a seed in, a policy out. torch is imported only when the policy needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from policy.bandit import BanditPolicy
from policy.evolution import EvolutionPolicy
from policy.foreign import find_foreign, make_foreign
from policy.local import LocalPolicy
from policy.protocol import PolicyError
from policy.random import RandomPolicy
from policy.tpe import TpePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.metadata import EntryPoint

    from policy.ppo import Design, PpoPolicy
    from policy.protocol import Policy

SHIPPED = Path(__file__).parent / "ppo.safetensors"  # what pre-training made: docs/policy.md
_FROM = "ppo@"


def make_policy(name: str, seed: int) -> Policy:
    """Build a policy for one campaign; `ppo@FILE` is ppo from that checkpoint, `ppo@` from none.

    Raises: PolicyError: no policy has that name, the package that brings it is broken, or the file is no checkpoint.
    """
    refuse_unknown(name)
    if name.startswith(_FROM):
        checkpoint = name.removeprefix(_FROM)
        return make_ppo(seed, Path(checkpoint) if checkpoint else None)
    return OWN[name](seed) if name in OWN else make_foreign(_foreign()[name], seed)


def refuse_unknown(name: str) -> None:
    """Let the name of a policy through, without importing it.

    Raises: PolicyError: no policy has that name.
    """
    if name not in (known := (*OWN, *_foreign())) and not name.startswith(_FROM):
        raise PolicyError(f"policy {name!r}: is not known; write one of {', '.join(known)}")


def make_ppo(seed: int, checkpoint: Path | None = SHIPPED, design: Design | None = None) -> PpoPolicy:
    """Build the ppo policy from a checkpoint, or from scratch.

    Raises: PolicyError: the file is no checkpoint of it.
    """
    import torch  # noqa: PLC0415 - keeps torch and transformers out of --help

    from policy.ppo import PpoPolicy  # noqa: PLC0415

    torch.set_num_threads(1)  # sums depend on the number of threads, and the other cores train
    policy = PpoPolicy(seed, design=design)
    if checkpoint is not None:
        policy.load(checkpoint)
    return policy


def _make_gp(seed: int) -> Policy:
    from policy.gp import GpPolicy  # noqa: PLC0415 - keeps NumPy out of --help

    return GpPolicy(seed)


OWN: Mapping[str, Callable[[int], Policy]] = {
    "random": RandomPolicy,
    "local": LocalPolicy,
    "evolution": EvolutionPolicy,
    "bandit": BanditPolicy,
    "tpe": TpePolicy,
    "gp": _make_gp,
    "ppo": make_ppo,
}


def _foreign() -> dict[str, EntryPoint]:
    """Return the policies that installed packages bring; none takes a name of ours."""
    return {name: point for name, point in find_foreign().items() if name not in OWN}
