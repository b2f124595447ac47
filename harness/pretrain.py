"""Pre-training of the ppo policy: what other targets promise, then imitation and practice on synthetic tasks.

The network sees synthetic tasks only, of families that differ in all that a family can differ in, with a prior that is right, wrong or
absent: it has to find out from the trials. What is known of real code is in the prior, which is fitted to the single edits of measured
landscapes, so that a target is left out by leaving out its landscape.
All is a function of the plan: equal plans give equal checkpoints with the same torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.landscape.ground import read_ground
from harness.landscape.model import read_costs, read_rows
from harness.landscape.store import find_landscape, read_landscape
from harness.landscape.synthetic import Family, generate, invent_effects
from harness.landscape.walk import Walk
from harness.values import TrialError
from mutator.shipped import default_grammar
from policy.checkpoint import Schooling
from policy.draw import open_stream
from policy.effects import FAILED_GAIN, bend
from policy.kernel import Kernel
from policy.make import make_ppo
from policy.options import MARGIN
from policy.ppo import Design
from policy.prior import NOISE, fit_prior
from policy.school import Lesson, imitate, practise, weigh
from policy.traits import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from harness.landscape.landscape import Landscape
    from mutator.edit import Edit
    from policy.learn import Step
    from policy.ppo import PpoPolicy, View
    from policy.prior import Prior
    from policy.traits import Floats, Traits

PRIVATE = 0.6  # share of the variance of effects that is left beside what other targets promise
_GROUND = "bytelm"  # whose edits the synthetic tasks stand on
_FIRST_TASK = 5000  # of the tasks that a family's prior comes from; no walk of any benchmark plays them
_N_PRIOR_TASKS = 36
_WORLDS, FIRST_WORLD = 8, 10_000_000  # families with a function of content of their own, none of them a benchmark's
_EACH = 3  # trials between two lessons of a walk


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pre-training is."""

    landscapes: tuple[str, ...] = ()  # names or files: the prior comes from these; without any there is none
    seed: int = 0
    start: str = ""  # a checkpoint whose network goes on learning
    n_walks: int = 120  # whose scenes are imitated
    n_trials: int = 60  # of each
    n_epochs: int = 6
    n_rounds: int = 4  # of practice
    n_practised: int = 12  # walks of a round


def pretrain(plan: Plan, announce: Callable[[str], None]) -> PpoPolicy:
    """Carry a plan out.

    Raises: TrialError: a landscape cannot be read, or is not of the target as it is.
    """
    policy = make_ppo(plan.seed, Path(plan.start) if plan.start else None)
    schooling = schooling_of(plan.landscapes)
    lessons = take_lessons(policy, plan, announce)
    if lessons:
        imitate(policy.network, lessons, n_epochs=plan.n_epochs, seed=plan.seed, announce=announce)
    for number in range(plan.n_rounds):
        walks = [_play(policy, plan, number * plan.n_practised + i) for i in range(plan.n_practised)]
        practise(policy.network, [steps for steps, _ in walks if steps])
        announce(
            f"practice   round {number + 1}/{plan.n_rounds}  share gained {np.mean([gain for _, gain in walks]):.3f}"
        )
    policy.take(
        replace(schooling, recipe=json.dumps({"plan": _named(plan), "digests": _digests(plan)}, sort_keys=True))
    )
    return policy


def take_lessons(policy: PpoPolicy, plan: Plan, announce: Callable[[str], None]) -> list[Lesson]:
    """Search the plan's tasks and note every few trials what would have been right."""
    lessons: list[Lesson] = []
    for number in range(plan.n_walks):
        lessons += _attend(policy, plan, number)
        if (number + 1) % 10 == 0:
            announce(f"lessons    {number + 1}/{plan.n_walks} walks  {len(lessons)} scenes")
    return lessons


@lru_cache
def schooling_of(known: tuple[str, ...] | int) -> Schooling:
    """Return what a policy knows that has seen some landscapes, or a synthetic family.

    Raises: TrialError: a landscape cannot be read, or is not of the target as it is.
    """
    if not known and not isinstance(known, int):
        return Schooling()
    prior = prior_of_family(known) if isinstance(known, int) else prior_of_landscapes(known)
    return Schooling(Kernel().shrink(PRIVATE), prior)


def _named(plan: Plan) -> dict[str, Any]:
    """Return a plan without the folders of whoever carried it out."""
    names = tuple(Path(name).name for name in plan.landscapes)
    return asdict(replace(plan, landscapes=names, start=Path(plan.start).name))


def _digests(plan: Plan) -> dict[str, str]:
    files = [find_landscape(name) for name in plan.landscapes] + [Path(plan.start)] * bool(plan.start)
    return {path.name: blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in files}


def prior_of_landscapes(names: Sequence[str]) -> Prior:
    """Fit a prior to the single edits that were measured of several targets.

    Raises: TrialError: one cannot be read, or is not of the target as it is.
    """
    parts = [_measured(name) for name in names]
    traits = parts[0][0]
    for more, *_ in parts[1:]:
        traits = traits.join(more)
    effects, doublings = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    return fit_prior(traits, effects - Kernel().expect(traits), np.full(len(traits), NOISE), doublings)


@lru_cache
def prior_of_family(family: int) -> Prior:
    """Fit a prior to the effects of a family's first tasks, averaged: what a search over many targets would know."""
    ground = read_ground(_GROUND)
    stream = open_stream(family, "prior", 0)
    tasks = (_FIRST_TASK + number for number in range(_N_PRIOR_TASKS))
    gains = [invent_effects(ground, _draw_family(family, stream), task) for task in tasks]
    live = np.flatnonzero(~ground.inert)
    mean = np.mean([[bend(gain) for gain in each[live]] for each in gains], 0)
    traits = describe(ground.graph, [ground.edits[row] for row in live])
    return fit_prior(traits, mean - Kernel().expect(traits), np.full(len(live), 2 * NOISE / _N_PRIOR_TASKS))


def _measured(name: str) -> tuple[Traits, Floats, Floats]:
    """Return the single edits of a landscape that may change something, their bent gains without what seeds add to all programs, and costs.

    Costs are in doublings of the unedited target's CPU time, NaN where a run did not get to its end.
    """
    table, model = read_landscape(find_landscape(name))
    ground, reading = read_ground(table.provenance.target), read_rows(table)
    known = {edit.address: edit for edit in ground.edits}
    preserving, sign, noise = default_grammar().preserving, table.provenance.sign, model.noise
    costs = read_costs(table)
    edits, effects = [], []
    for script, works in reading.works.items():
        if len(script) != 1 or known[script[0]].kind in preserving:
            continue
        runs = [metric - noise.common(seed) for seed, metric in reading.metrics[script].items()] if works else []
        edits.append(known[script[0]])
        effects.append(bend(sign * (float(np.mean(runs)) - noise.baseline) / noise.sd) if works else FAILED_GAIN)
    if not edits:
        raise TrialError(f"{name}: has no single edits; build it further")
    doublings = np.array([costs.get((edit.address,), np.nan) for edit in edits])
    return describe(ground.graph, edits), np.array(effects), doublings


def _draw_family(seed: int, stream: Random) -> Family:
    """Draw what the tasks of a family share, how noisy they are, how they interact and crash."""
    return Family(
        seed, rho=stream.uniform(0.0, 0.8), noise=stream.uniform(0.3, 1.2), pairs=stream.uniform(0.0, 0.03),
        strength=stream.uniform(0.2, 0.8), crashes=stream.uniform(0.0, 0.08), tuned=stream.uniform(0.2, 0.8),
    )  # fmt: skip


def _begin(policy: PpoPolicy, plan: Plan, purpose: str, number: int, design: Design) -> tuple[PpoPolicy, Walk]:
    """Begin a walk on a task of its own, with a prior that fits it, one that does not, or none."""
    stream = open_stream(plan.seed, purpose, number)
    world, other = (FIRST_WORLD + number for number in stream.sample(range(_WORLDS), 2))
    task = generate(read_ground(_GROUND), _draw_family(world, stream), stream.randrange(_FIRST_TASK))
    known = stream.choice((world, world, other, None))
    searcher = policy.fork(plan.seed + number, design)
    searcher.take(schooling_of(() if known is None else known))
    return searcher, Walk(task, number, plan.n_trials)


def _attend(policy: PpoPolicy, plan: Plan, number: int) -> list[Lesson]:
    """Search a task and note every few trials what would have been right."""
    searcher, course = _begin(policy, plan, "lesson", number, Design())
    lessons = []
    while len(course.trials) < plan.n_trials:
        scene = course.look()
        moves = searcher.propose(scene, 1)
        if not moves:
            break
        view = searcher.shown(scene.number)
        if scene.number % _EACH == 1 and (worth := weigh(_hindsight(course, view))) is not None:
            lessons.append(Lesson(view.observation, worth))
        searcher.feedback([course.play(moves[0])])
    return lessons


def _hindsight(course: Walk, view: View) -> list[float]:
    """Return what each option truly gains over the incumbent, less what no verdict would keep, in bent sd."""
    landscape, scripts = course.landscape, {parent.number: parent.script for parent in view.scene.parents}
    now = _lead(landscape, view.scene.incumbent.script)
    leads = [_lead(landscape, (*scripts[move.parent], *move.script)) for move in view.options.moves]
    return [bend(lead - now) - MARGIN if lead == lead else -np.inf for lead in leads]


def _lead(landscape: Landscape, script: Sequence[Edit]) -> float:
    return landscape.direction.sign * (landscape.value(script) - landscape.baseline) / landscape.sd


def _play(policy: PpoPolicy, plan: Plan, number: int) -> tuple[list[Step], float]:
    """Let the network alone search a task; return its steps and the share that it gained."""
    searcher, course = _begin(policy, plan, "practice", number, Design(reranked=False, scripts=False))
    steps: list[Step] = []
    while len(course.trials) < plan.n_trials and (moves := searcher.propose(course.look(), 1)):
        view, trial = searcher.shown(len(course.trials) + 1), course.play(moves[0])
        steps += searcher.steps(view, [trial])
        searcher.feedback([trial])
    return steps, course.gains[-1] if course.gains else 0.0
