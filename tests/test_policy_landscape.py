"""Search on a landscape that is known: made-up effects on a real program, its real graph and real edits.

Twelve arguments of optimizers want another value, each in a direction of its own; the other literals do nothing, and other operators
or activations only harm. The policy is told neither. So the search has something to find out: which sites pay, and which way.
"""

import math
from dataclasses import dataclass
from random import Random
from statistics import mean, stdev

import pytest

from graph.build import build_graph
from graph.code_graph import CodeGraph
from graph.model import NodeKind
from graph.snapshot import Snapshot
from mutator.edit import Edit
from mutator.grammar import DEFAULT_GRAMMAR
from policy.make import make_policy
from policy.protocol import Policy, Scene

GRAMMAR = DEFAULT_GRAMMAR.only("scale-literal", "swap-activation", "replace-operator")
NOISE = 0.5  # standard deviation of one measurement; the right factor at one site gains about 2
N_TRIALS = 40
N_SEEDS = 16


def program() -> Snapshot:
    parts = ["import random\nimport time\n\nimport torch\nimport torch.nn.functional as F\n"]
    parts += [
        f"def build{i}(net):\n    return torch.optim.AdamW(net.parameters(), lr=0.0{i}, weight_decay=0.{i}, eps=0.00{i})\n"
        for i in range(1, 5)
    ]
    parts += [f"def act{i}(x):\n    return F.gelu(x)\n" for i in range(1, 5)]
    parts += [f"def wait{i}(x):\n    time.sleep(0.{i})\n    return x * 1.{i}\n" for i in range(1, 8)]
    parts += [f"def draw{i}(x):\n    random.expovariate(0.{i})\n    return x * 2.{i}\n" for i in range(1, 8)]
    return Snapshot({"train.py": "\n\n".join(parts).encode()})


@dataclass(frozen=True)
class Result:
    number: int
    edit: Edit
    reward_total: float
    ok: bool
    kept: bool


class Landscape:
    """The value of a program: minus the squared distances, in octaves, of the live literals from what they should be."""

    def __init__(self, graph: CodeGraph, seed: int) -> None:
        dice = Random(seed)
        self._wanted = {
            node.slot: math.log2(float(graph.text(node))) + dice.choice([-1, 1]) * dice.uniform(0.7, 2.2)
            for node in graph.of_kind(NodeKind.LITERAL)
            if any(
                "torch.optim.AdamW" in graph.callees(call)
                for call in [graph.parent(node)]
                if call and call.kind is NodeKind.CALL
            )
        }

    def value(self, graph: CodeGraph) -> float:
        distances = (math.log2(float(graph.text(graph.nodes[slot]))) - wanted for slot, wanted in self._wanted.items())
        swapped = sum(
            "torch.nn.functional.gelu" not in graph.callees(c) for c in graph.of_kind(NodeKind.CALL) if "act" in c.scope
        )
        replaced = sum(node.label != "mul" for node in graph.of_kind(NodeKind.OPERATOR))
        return -math.fsum(distance**2 for distance in distances) - 2.0 * swapped - 2.0 * replaced


def search(policy: Policy, seed: int) -> float:
    """Search as a campaign does and return the share of the reachable gain that was kept, measured without noise."""
    incumbent = build_graph(program())
    landscape, noise = Landscape(incumbent, seed), Random(f"noise {seed}")
    worst = value = landscape.value(incumbent)
    left = tuple(GRAMMAR.edits(incumbent))
    for number in range(1, N_TRIALS + 1):
        (edit,) = policy.propose(Scene(incumbent, left, number, N_TRIALS), 1)
        edited = build_graph(GRAMMAR.apply(incumbent, edit), previous=incumbent)
        gain = landscape.value(edited) - value
        z = (gain + noise.gauss(0, NOISE)) / NOISE
        kept = z > 1.8 and gain + noise.gauss(0, NOISE) > 0  # and confirmed on a fresh seed
        policy.feedback([Result(number, edit, math.asinh(z), ok=True, kept=kept)])
        left = tuple(other for other in left if other != edit)
        if kept:
            incumbent, value, left = edited, value + gain, tuple(GRAMMAR.edits(edited))
    return 1 - value / worst


@pytest.mark.slow
def test_ppo_finds_more_than_random_search_in_forty_trials():
    found = {name: [search(make_policy(name, seed), seed) for seed in range(N_SEEDS)] for name in ("ppo", "random")}
    leads = [ppo - random for ppo, random in zip(found["ppo"], found["random"], strict=True)]
    assert mean(leads) > 2 * stdev(leads) / math.sqrt(N_SEEDS), found
    assert mean(found["ppo"]) > 1.5 * mean(found["random"]), found
