"""One decision of the ppo policy, told: what there was to choose from, what was believed of it, what was looked at, what was expected.

And what the trials taught by kind or by site, which a next campaign may start from.
Gains and effects are in bent standard deviations of the unedited target (policy.effects).
Not covered: why the network prefers what it prefers. Attention says where it looked, not what it made of it
(Jain and Wallace 2019, arXiv:1902.10186).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from policy.network import collate
from policy.observe import MAX_TRIALS
from policy.protocol import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mutator.edit import Edit
    from policy.insight import Insight
    from policy.ppo import PpoPolicy
    from policy.protocol import Move, Parent, Scene

LEAST_WEIGHT, MOST_WEIGHT = 0.1, 10.0  # of a kind that is preferred: a campaign is no reason to give a kind up


@dataclass(frozen=True, slots=True)
class Option:
    """A move of one edit that could be made."""

    move: Move
    probability: float  # that the network, asked for one sample, draws it
    mean: float  # of what the edit is believed to gain over its own program
    deviation: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy had before it when it proposed a trial."""

    number: int  # of the trial
    options: tuple[Option, ...]  # the most probable first; all that the network saw
    proposed: Move  # what it makes of them: an option, or a script that begins with one
    value: float  # what the value head expects of this trial and those after it: discounted rewards, each less the usual one
    usual: float  # mean reward of the trials until then
    attention: tuple[tuple[int, float], ...]  # trial and share of the campaign token's attention, the largest first
    n_tokens: int  # that the attention is shared among

    def rank(self, move: Move) -> int | None:
        """Return the rank, from 1, of the option that a move begins with; None where that was no option."""
        begin = (move.parent, move.script[0])
        return next((i for i, o in enumerate(self.options, 1) if (o.move.parent, o.move.script[0]) == begin), None)


def explain(policy: PpoPolicy, scene: Scene) -> Decision:
    """Let a policy that knows the trials before a scene propose on it, and tell what it had before it.

    Raises: PolicyError: nothing is left to try there.
    """
    proposed = policy.propose(scene, 1)
    if not proposed:
        raise PolicyError(f"trial {scene.number}: nothing is left to try; is the target what it was?")
    view = policy.shown(scene.number)
    batch = collate([view.observation])
    with torch.no_grad():
        log_probs, values = policy.network.decide(batch)
        attention = policy.network.attend(batch)[0].tolist()
    probabilities = log_probs[0].exp().tolist()
    found = [
        Option(*each)
        for each in zip(
            view.options.moves, probabilities, view.options.mean.tolist(), view.options.deviation.tolist(), strict=True
        )
    ]
    shares = Counter[int]()
    recalled = policy.memory.recall(MAX_TRIALS)
    for each, share in zip(recalled, attention[len(attention) - len(recalled) :], strict=True):
        shares[each.number] += share
    return Decision(
        scene.number,
        tuple(sorted(found, key=lambda option: -option.probability)),
        proposed[0],
        float(values[0]),
        policy.memory.overall.mean,
        tuple(sorted(shares.items(), key=lambda pair: -pair[1])),
        len(attention),
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """What is believed of all edits of a program that have something in common, on the mean."""

    n: int  # edits
    effect: float
    learned: float  # of the effect: what the trials added to what is believed of such edits before any trial


def sum_up(
    insight: Insight, program: Parent, edits: Sequence[Edit], by: Callable[[Edit], str]
) -> Mapping[str, Finding]:
    """Return what was learned of edits of a program, by what `by` says of each."""
    rows = defaultdict[str, list[int]](list)
    for row, edit in enumerate(edits):
        rows[by(edit)].append(row)
    if not rows:
        return {}
    means, _ = insight.believe(program, edits)
    learned = means - insight.effects.kernel.expect(insight.describe(program, edits))
    return {name: Finding(len(at), float(means[at].mean()), float(learned[at].mean())) for name, at in rows.items()}


def weigh_kinds(findings: Mapping[str, Finding]) -> Mapping[str, float]:
    """Return how often a next campaign should try each kind, against 1.

    It is e to the power of what was learned of the kind's edits less what was learned of all edits, bounded. What was believed before any
    trial is left out: the next campaign's policy believes it by itself. A posterior mean is shrunk already.
    """
    n_edits = sum(each.n for each in findings.values())
    overall = sum(each.n * each.learned for each in findings.values()) / max(1, n_edits)
    low, high = math.log(LEAST_WEIGHT), math.log(MOST_WEIGHT)
    return {kind: math.exp(min(high, max(low, each.learned - overall))) for kind, each in findings.items()}
