"""What each part of the ppo policy is worth: the same walks without it.

`python -m bench.ablation --seeds 10 --trials 100` trains the networks that differ (by imitation alone, on one set of lessons, and beside
them one in which nothing differs, `imitation`), plays all variants on the tasks of `codegraft bench policies`, and prints what each part is
worth: by how much the whole is ahead of what has it not. Networks and walks that are in --out are neither trained nor played again.

Walks leave out the terms of the reward that read sources; here they are added, one by one and both (bench.reading).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import click

from bench.policy_tables import parts
from bench.reading import reading
from harness.benchmark.play import (
    FAMILY_SEED,
    Job,
    Played,
    Task,
    plan_jobs,
    play_missing,
    play_with,
    schooling_for,
)
from harness.benchmark.table import stand
from harness.landscape.walk import Walk
from harness.pretrain import Plan, schooling_of, take_lessons
from policy.checkpoint import Schooling
from policy.make import SHIPPED, make_ppo
from policy.observe import hide
from policy.ppo import Design
from policy.school import Lesson, imitate
from targets.shipped import shipped_landscapes
from targets.wishes import Weights


@dataclass(frozen=True, slots=True)
class Variant:
    """What is left out."""

    design: Design = field(default_factory=Design)
    trained: str = "ppo"  # whose network: a variant's, or "" for one that knows nothing
    prior: str = "right"  # or "wrong", one of other tasks; or "none"
    weights: Weights | None = None  # of a reward that reads sources


VARIANTS = {
    "ppo": Variant(),
    "no pre-training": Variant(trained="", prior="none"),
    "no prior": Variant(prior="none"),
    "wrong prior": Variant(prior="wrong"),
    "no network": Variant(trained=""),
    "no surrogate": Variant(Design(hidden="beliefs", reranked=False, scripts=False), "no surrogate"),
    "no picking": Variant(Design(reranked=False, scripts=False)),
    "no scripts": Variant(Design(scripts=False)),
    "never alone": Variant(Design(alone=False)),
    "online PPO": Variant(Design(online=True)),
    "imitation": Variant(Design(), "imitation"),
    "no history": Variant(Design(hidden="history"), "no history"),
    "no graph bias": Variant(Design(hidden="relations"), "no graph bias"),
    "flat head": Variant(Design(flat=True), "flat head"),
    "with novelty": Variant(weights=Weights(complexity=0.0)),
    "with complexity": Variant(weights=Weights(novelty=0.0)),
    "with both": Variant(weights=Weights()),
}
TRAINED = tuple(name for name, variant in VARIANTS.items() if variant.trained == name != "ppo")


def main() -> None:
    """Train, play, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--walks", type=int, default=Plan().n_walks, help="that give lessons")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("ablation"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    train(asked.out, replace(Plan(), n_walks=asked.walks))
    jobs = plan_jobs(tuple(VARIANTS), asked.seeds, asked.trials)
    one = partial(play_variant, asked.out)
    played = play_missing(asked.out / "results.jsonl", jobs, asked.processes, click.echo, one)
    click.echo("\n".join(parts(stand(played))))


def train(folder: Path, plan: Plan) -> None:
    """Train the networks that are not in the folder."""
    missing = [name for name in TRAINED if not _file(folder, name).exists()]
    lessons = take_lessons(make_ppo(plan.seed, None), plan, click.echo) if missing else []
    for name in missing:
        policy = make_ppo(plan.seed, None, VARIANTS[name].design)
        hidden = VARIANTS[name].design.hidden
        seen = [Lesson(hide(each.observation, hidden), each.worth) if hidden else each for each in lessons]
        click.echo(name)
        imitate(policy.network, seen, n_epochs=plan.n_epochs, seed=plan.seed, announce=click.echo)
        policy.save(_file(folder, name))


def play_variant(folder: Path, job: Job) -> Played:
    """Play one walk."""
    variant = VARIANTS[job.policy]
    checkpoint = SHIPPED if variant.trained == "ppo" else _file(folder, variant.trained) if variant.trained else None
    policy = make_ppo(job.seed, checkpoint, variant.design)
    policy.take(_schooling(variant.prior, job.task))
    return play_with(policy, job, Walk if variant.weights is None else reading(job.task.target, variant.weights))


def _schooling(prior: str, task: Task) -> Schooling:
    """Return what is known of a task; what is wrong comes from real targets for an invented one, and the other way round."""
    if prior == "none":
        return Schooling()
    if prior == "right":
        return schooling_for(task)
    return schooling_of(FAMILY_SEED if task.family is None else shipped_landscapes())


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.safetensors"


if __name__ == "__main__":
    main()
