"""The one door to the policies: a name and a seed in, a policy out. torch is imported only when the policy needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.local import LocalPolicy
from policy.protocol import PolicyError
from policy.random import RandomPolicy

if TYPE_CHECKING:
    from policy.protocol import Policy

POLICIES = ("random", "local", "ppo")


def make_policy(name: str, seed: int) -> Policy:
    """Build a policy for one campaign.

    Raises: PolicyError: no policy has that name.
    """
    if name == "random":
        return RandomPolicy(seed)
    if name == "local":
        return LocalPolicy(seed)
    if name == "ppo":
        import torch  # noqa: PLC0415 - keeps torch and transformers out of --help

        from policy.ppo import PpoPolicy  # noqa: PLC0415

        torch.set_num_threads(1)  # sums depend on the number of threads, and the other cores train
        return PpoPolicy(seed)
    raise PolicyError(f"policy {name!r}: is not known; write one of {', '.join(POLICIES)}")
