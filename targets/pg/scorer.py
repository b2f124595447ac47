"""Frozen: the metric, from logits alone, without chance: what a policy earns is computed for all states at once, not sampled."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from prepare import CHEST, EPISODE, GOES, HELD, KEY, N_ACTIONS, N_HELD, N_STATES, OVER, load_part, rules, starts, views

BATCH = 2048  # states per call of predict


def score(predict: Callable[[np.ndarray], np.ndarray], heldout: Path) -> dict[str, float]:
    """Return the share of what the best play earns that the policy does not, in %, and what it earns in an episode, on average.

    Raises: ValueError: predict returns a wrong shape or numbers that are not finite.
    """
    paths = load_part(heldout)
    acting = np.flatnonzero((HELD < N_HELD - 1) & (HELD >> KEY & 1 >= HELD >> CHEST & 1))  # the states in which there is something to do
    world, state = np.repeat(np.arange(len(paths)), len(acting)), np.tile(acting, len(paths))
    policy = np.zeros((len(paths), N_STATES, N_ACTIONS))
    for start in range(0, len(world), BATCH):
        at = world[start : start + BATCH], state[start : start + BATCH]
        policy[at] = probabilities(predict, views(paths[at[0]], at[1]))
    earned = play(paths, lambda worth: (policy * worth).sum(axis=-1))
    best = play(paths, lambda worth: worth.max(axis=-1))
    return {"val_regret": 100 * (1 - earned / best), "val_return": earned}


def probabilities(predict: Callable[[np.ndarray], np.ndarray], seen: np.ndarray) -> np.ndarray:
    """Return the chances of the actions, (B, N_ACTIONS) float64."""
    logits = predict(seen)
    if logits.shape != (len(seen), N_ACTIONS):
        raise ValueError(f"predict returned shape {logits.shape}; return {(len(seen), N_ACTIONS)}")
    if not np.isfinite(logits).all():
        raise ValueError("predict returned logits that are not finite; train with a smaller learning rate")
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))  # exp cannot overflow
    return weights / weights.sum(axis=1, keepdims=True)


def play(paths: np.ndarray, choose: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return what is earned in an episode, the mean over worlds and where it begins.

    choose: from what the actions are worth, (W, N_STATES, N_ACTIONS), to what the states are worth, (W, N_STATES).
    """
    after, reward = rules(paths)
    world = np.arange(len(paths))[:, None, None]
    worth = np.zeros((len(paths), N_STATES))  # with no step left
    for _ in range(EPISODE):
        worth = choose((reward + worth[world, after]) @ GOES.T)
    first = starts(paths)
    return float(((worth[:, :OVER] * first).sum(axis=1) / first.sum(axis=1)).mean())
