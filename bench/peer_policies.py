# ruff: noqa: SLF001 - the peer shows its networks to nobody
"""What the policies of autoresearch-rl 0.5.0 try on the landscape that it bundles, as JSON. Runs in an environment that has it.

    PYTHON_WITH_AUTORESEARCH_RL bench/peer_policies.py SPACE

SPACE, from bench.peer_landscape: [rates, clippings, flags, number of seeds, number of trials]. Its `learned`, `random` and `grid` are
called as its engine calls them: with the history of all trials, a reward of 1 for a new best and 0 for any other, an update each eight
trials. A seed shuffles the order of the values, on which grid and the fixed initial weights depend, and is that of `random`.

One thing is ours: the gradient of its two losses is computed exactly, in the place of finite differences over every weight, which
take 38 s for each update of 98 actions. `check` compares the two on a small agent before anything is played (its own step changes one
layer before it looks at the next, so they differ a little).
"""

import json
import os
import random
import sys
import tempfile
from typing import Any

import numpy as np
from autoresearch_rl.policy.learned_search import LearnedParamPolicy
from autoresearch_rl.policy.ppo import MLP, PPOAgent
from autoresearch_rl.policy.search import GridPolicy, RandomPolicy

Rows = np.ndarray
Layers = list[tuple[Rows, Rows]]

_ALIKE = 0.01  # of the largest change of a weight
NAMES = ("learning_rate", "grad_clip", "use_qk_norm")


def forward(net: MLP, states: Rows) -> tuple[list[Rows], Rows]:
    """Return what goes into each layer, and what comes out of the last one."""
    layers, h = [], states
    for number, (w, b) in enumerate(net._params):
        layers.append(h)
        h = h @ w + b
        if number < len(net._params) - 1:
            h = np.maximum(h, 0.0)
    return layers, h


def backward(net: MLP, layers: list[Rows], slope: Rows) -> Layers:
    """Return the gradients of each layer's weights and biases."""
    found = []
    for (w, _), h in zip(reversed(net._params), reversed(layers), strict=True):
        found.append((h.T @ slope, slope.sum(0)))
        slope = (slope @ w.T) * (h > 0)
    return found[::-1]


def gradients(
    agent: PPOAgent, states: Rows, actions: Rows, old_log_probs: Rows, advantages: Rows, returns: Rows
) -> tuple[Layers, Layers]:
    """Return the gradients of the agent's own two losses, for its actor and its critic."""
    n, rows = len(states), np.arange(len(states))
    layers, logits = forward(agent.actor, states)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probs = shifted / shifted.sum(1, keepdims=True)
    ratio = np.exp(np.log(probs[rows, actions] + 1e-8) - old_log_probs)
    bound = np.clip(ratio, 1 - agent.config.epsilon, 1 + agent.config.epsilon)
    free = ratio * advantages <= bound * advantages  # the clipped term is constant
    slope = probs * (-1.0)
    slope[rows, actions] += 1.0
    actor = backward(agent.actor, layers, slope * (-(free * ratio * advantages) / n)[:, None])
    layers, values = forward(agent.critic, states)
    return actor, backward(agent.critic, layers, 2 * (values - np.asarray(returns)[:, None]) / n)


def step(agent: PPOAgent, *batch: Rows) -> None:
    """Stand in for the agent's own step of gradient descent."""
    for net, found in zip((agent.actor, agent.critic), gradients(agent, *batch), strict=True):
        net._params = [
            (w - agent.config.lr * dw, b - agent.config.lr * db)
            for (w, b), (dw, db) in zip(net._params, found, strict=True)
        ]


def check() -> None:
    """Compare the gradients with the peer's own finite differences on a small agent."""
    mine, theirs = PPOAgent(11, 5), PPOAgent(11, 5)
    stream = np.random.default_rng(0)
    states, actions = stream.normal(size=(8, 11)), stream.integers(0, 5, 8)
    batch = (states, actions, mine.evaluate(states, actions)[0] - 0.05, stream.normal(size=8), stream.normal(size=8))
    step(mine, *batch)
    theirs._sgd_step(*batch)
    start = PPOAgent(11, 5)  # which begins as the other two did
    for mine_now, its_now, first in zip(_numbers(mine), _numbers(theirs), _numbers(start), strict=True):
        apart, moved = np.abs(mine_now - its_now).max(), np.abs(its_now - first).max()
        if apart > _ALIKE * moved:
            raise SystemExit(f"autoresearch-rl: the exact step differs from its own by {apart / moved:.1%}")


def _numbers(agent: PPOAgent) -> tuple[Rows, ...]:
    """Return the weights of both networks."""
    return tuple(
        np.concatenate([part.ravel() for layer in net._params for part in layer]) for net in (agent.actor, agent.critic)
    )


def course(policy: LearnedParamPolicy | RandomPolicy | GridPolicy, n_trials: int) -> list[list[Any]]:
    """Return the values of each trial."""
    history, tried, best = [], [], float("inf")
    for _ in range(n_trials):
        chosen = policy.propose({"history": history, "program": ""}).params
        values = [chosen[name] for name in NAMES]
        metric = 1.35 + 130.0 * abs(values[0] - 2.6e-3) + 0.3 * abs(values[1] - 0.85) - 0.05 * values[2]
        kept = metric < best
        best = min(best, metric)
        if hasattr(policy, "record_reward"):
            policy.record_reward(1.0 if kept else 0.0)
        metrics = {"loss": 2.1 + 0.7 * (metric - 1.2), "val_bpb": metric}
        history.append(
            {"status": "ok", "decision": "keep" if kept else "discard", "metrics": metrics, "params": chosen}
        )
        tried.append(values)
    return tried


def main() -> None:
    """Play all policies for all seeds."""
    *values, n_seeds, n_trials = json.loads(sys.argv[1])
    check()
    PPOAgent._sgd_step = step
    courses = {"learned": [], "random": [], "grid": []}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where it keeps snapshots
        for seed in range(n_seeds):
            np.random.seed(seed)
            space = {
                name: random.Random(f"{seed} {name}").sample(of, len(of))
                for name, of in zip(NAMES, values, strict=True)
            }
            made = {
                "learned": LearnedParamPolicy(space),
                "random": RandomPolicy(space, seed),
                "grid": GridPolicy(space),
            }
            for name, policy in made.items():
                courses[name].append(course(policy, n_trials))
    sys.stdout.write(json.dumps(courses))


if __name__ == "__main__":
    main()
