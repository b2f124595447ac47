"""The benchmark of policies: what its figures say, and the command that makes them."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

from bench import tune_baselines, tune_kernel
from harness.benchmark.play import FAMILY_SEED, Job, Played, Task, play, play_missing, synthetic_families
from harness.benchmark.plot import regret_svg
from harness.benchmark.real import Searched, table_of
from harness.benchmark.rows import read_rows
from harness.benchmark.statistics import (
    Estimate,
    difference,
    estimate,
    interquartile_mean,
    mean,
    probability_of_improvement,
    ratio,
)
from harness.benchmark.table import stand, table_lines
from harness.cli import commands
from harness.landscape.synthetic import Family
from harness.ledger import read_record
from harness.pretrain import FIRST_WORLD
from targets.shipped import shipped_landscapes


def scores(seed: int, shape: tuple[int, int] = (6, 20), *, centre: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 0.2, shape)


def test_the_interquartile_mean_is_deaf_to_the_outer_quarters():
    values = np.arange(8.0).reshape(2, 4)
    wild = np.where(values == 7.0, 1e6, np.where(values == 0.0, -1e6, values))
    assert interquartile_mean(values) == interquartile_mean(wild) == 3.5


@pytest.mark.parametrize("statistic", [interquartile_mean, mean])
def test_an_interval_covers_the_truth_about_as_often_as_it_says(statistic):
    found = [estimate(scores(seed), statistic, n_draws=300) for seed in range(200)]
    covered = sum(each.low <= 0.5 <= each.high for each in found)
    assert 0.88 * 200 <= covered <= 200


def test_an_interval_of_fewer_runs_is_wider():
    few, many = (estimate(scores(1, (6, n))) for n in (5, 80))
    assert many.high - many.low < (few.high - few.low) / 2


def test_tasks_are_strata():
    apart = np.array([[0.0] * 10, [1.0] * 10])  # only a bootstrap that draws tasks would be unsure of the mean
    assert estimate(apart, mean).low == estimate(apart, mean).high == 0.5


def test_a_policy_is_ahead_of_itself_half_of_the_time():
    found = probability_of_improvement(scores(1), scores(1))
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)
    assert difference(scores(1), scores(1)).value == 0.0


def test_the_better_policy_is_ahead_and_the_worse_one_behind():
    better, worse = scores(1, centre=0.6), scores(2, centre=0.4)
    assert difference(better, worse).low > 0.0 > difference(worse, better).high
    assert probability_of_improvement(better, worse).low > 0.5 > probability_of_improvement(worse, better).high


def test_pairing_removes_what_both_share():
    shared = scores(1)
    assert difference(shared + 0.01, shared).low > 0.0
    assert estimate(shared + 0.01, mean).low < estimate(shared, mean).high  # apart they could not be told


def test_how_many_times_as_much_is_said_with_an_interval_that_pairs_runs():
    shared = np.abs(scores(1)) + 0.1
    assert ratio(3 * shared, shared) == Estimate(*[pytest.approx(3.0)] * 3)
    assert ratio(shared, 0 * shared).value == ratio(shared, -shared).value == math.inf
    assert math.isnan(ratio(-shared, 0 * shared).value)
    assert math.isnan(ratio(-shared, -5 * shared).value)


def made_up() -> list[Played]:
    gains = {"good": 0.8, "bad": 0.2}
    return [
        Played(task, policy, seed, tuple(np.linspace(0, top, 60).tolist()), 70, 0.6)
        for task in ("a", "b")
        for seed in range(3)
        for policy, top in gains.items()
    ]


def test_a_table_says_the_gain_at_each_checkpoint_that_was_reached():
    standings = stand(made_up())
    assert standings.checkpoints == (25, 50)
    page = "\n".join(table_lines(standings, "bad"))
    assert f"| good | {0.8 * 24 / 59:.3f} [" in page
    assert "| a | 0." in page
    assert "10.0 |" in page  # ms per trial


def test_the_plot_is_a_drawing_with_a_line_per_policy():
    named = [replace(each, policy=f"ppo@{each.policy}&<") for each in made_up()]
    drawn = ET.fromstring(regret_svg(stand(named)))
    assert [each.text for each in drawn if each.text and each.text.startswith("ppo")] == ["ppo@good&<", "ppo@bad&<"]
    lines = [each for each in drawn if each.tag.endswith("polyline")]
    assert len(lines) == 2
    heights = [float(line.attrib["points"].split()[-1].split(",")[1]) for line in lines]
    assert heights[0] > heights[1]  # regret is drawn upwards, so the better policy ends lower


def test_the_families_of_the_benchmark_are_neither_tuned_nor_trained_on():
    families = [task.family for task in synthetic_families()]
    assert len(families) == 6
    assert {family.seed for family in families if family} == {FAMILY_SEED}
    first_of_others = (
        tune_baselines.SEARCHED,
        tune_baselines.HELD_OUT,
        tune_kernel.SEARCHED,
        tune_kernel.HELD_OUT,
        FIRST_WORLD,
    )
    assert min(first_of_others) > FAMILY_SEED


def test_a_walk_that_was_played_says_what_it_gained_and_what_it_cost():
    played = play(Job(Task("toy", Family(1)), "random", 3, 12))
    again = play(Job(Task("toy", Family(1)), "random", 3, 12))
    assert played.gains == again.gains
    assert len(played.gains) == 12
    assert played.n_runs >= 12


def test_walks_that_are_there_are_not_played_again(tmp_path: Path):
    path, said = tmp_path / "results.jsonl", list[str]()
    jobs = [Job(Task("toy", Family(1)), "random", seed, 4) for seed in range(3)]
    marked = replace(play(jobs[1]), gains=(7.0,) * 4)
    elsewhere = replace(marked, policy="local")
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in (elsewhere, marked)))
    played = play_missing(path, jobs, 1, said.append)
    assert [row.key for row in played] == [job.key for job in jobs]
    assert played[1] == marked
    assert played[2].gains == play(jobs[2]).gains
    assert [*read_rows(path, Played)] == [elsewhere, marked, played[0], played[2]]
    assert said[0] == f"1 of 3 walks are in {path} and not played again"
    assert play_missing(path, jobs, 1, said.append) == played


def test_a_line_of_known_walks_that_is_none_is_named(tmp_path: Path):
    (tmp_path / "results.jsonl").write_text('{"task": "bytelm"}\n')
    done = CliRunner().invoke(commands, ["bench", "policies", "--quick", "--out", str(tmp_path)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "results.jsonl:1: policy: Field required; take the line out" in done.output


def test_a_reference_that_does_not_play_is_refused(tmp_path: Path):
    done = CliRunner().invoke(commands, ["bench", "policies", "--policy", "random", "--out", str(tmp_path / "x")])
    assert done.exit_code == 2
    assert "does not play" in done.output


@pytest.mark.slow
def test_policies_are_compared_by_campaigns_that_train_and_what_is_there_is_not_run_again(tmp_path: Path):
    asked = [
        *("bench", "policies", "toy", "--policy", "random", "--policy", "ppo", "--reference", "random"),
        *("--seeds", "2", "--trials", "8", "--out", str(tmp_path)),
    ]
    done = CliRunner().invoke(commands, asked)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(each["policy"], each["seed"]) for each in found] == [("random", 0), ("ppo", 0), ("random", 1), ("ppo", 1)]
    assert all(each["n_runs"] >= 6 for each in found)
    assert read_record(tmp_path / "toy-ppo-8-1").settings.checkpoint == str(tmp_path / "ppo-without-toy.safetensors")
    assert "| times random |" in (tmp_path / "table.md").read_text()
    shutil.rmtree(tmp_path / "toy-ppo-8-1")
    assert CliRunner().invoke(commands, asked).output == done.output
    assert not (tmp_path / "toy-ppo-8-1").exists()


def test_campaigns_of_another_length_are_run_beside_those_that_are_known(tmp_path: Path):
    asked = ["bench", "policies", "toy", "--policy", "random", "--reference", "random", "--seeds", "2", "--trials"]
    for n_trials in (2, 3):
        done = CliRunner().invoke(commands, [*asked, str(n_trials), "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(each["target"], each["seed"], each["n_trials"]) for each in found] == [
        *(("toy", 0, 2), ("toy", 1, 2), ("toy", 0, 3), ("toy", 1, 3))
    ]


def test_campaigns_are_paired_by_seed_in_whatever_order_they_ended(tmp_path: Path):
    asked = [
        "bench",
        "policies",
        "toy",
        "--policy",
        "random",
        "--policy",
        "tpe",
        "--reference",
        "random",
        "--seeds",
        "3",
    ]
    rows = [
        Searched("toy", policy, seed, 200, gain * (1 + seed), 2, 200, 1.0, ((10, gain), (26, 7.0)))
        for seed in range(3)
        for policy, gain in (("random", 1.0), ("tpe", 2.0))
    ]
    said = []
    for order in (rows, rows[::-1], rows[1:] + rows[:1]):
        (tmp_path / "results.jsonl").write_text("".join(json.dumps(asdict(row)) + "\n" for row in order))
        done = CliRunner().invoke(commands, [*asked, "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
        said.append((tmp_path / "table.md").read_text())
    assert "| tpe | 2.000 | 2.000 | 9.000 | 4.000 [2.000, 6.000] | 2.000 [2.000, 2.000] |" in said[0]
    assert len(set(said)) == 1


def test_what_verdicts_had_accepted_is_open_where_a_row_does_not_say_it():
    rows = ((0, 9, 1.0), (2, 9, 1.0), (1, 9, 1.0, ((3, 0.5),)))
    nothing, unsaid, said = (Searched("toy", "random", 0, 20, 0.0, *row) for row in rows)
    assert [nothing.accepted(9), said.accepted(2), said.accepted(3)] == [0.0, 0.0, 0.5]
    assert math.isnan(unsaid.accepted(9))
    lines = "\n".join(table_of("loss", [unsaid, replace(said, policy="tpe")], "random"))
    assert "| policy | accepted after 10 | gain in loss after 20 trials |" in lines
    assert "| random | ? | 0.000" in lines
    assert "| tpe | 0.500 | 0.000" in lines


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"target": "toy"}', "policy: Field required"),
        ("half a li", "the line: Invalid JSON"),
        ('"\udcff"', "the line: Invalid JSON"),
        (json.dumps(asdict(Searched("toy", "random", 0, 9, 0.0, 0, 9, 1.0)) | {"seed": "0"}), "seed: Input should be"),
    ],
)
def test_a_line_of_known_campaigns_that_is_none_is_named(tmp_path: Path, line: str, fault: str):
    (tmp_path / "results.jsonl").write_text(line + "\n", errors="surrogateescape")
    done = CliRunner().invoke(commands, ["bench", "policies", "toy", "--reference", "random", "--out", str(tmp_path)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"results.jsonl:1: {fault}" in done.output


@pytest.mark.slow
def test_a_quick_benchmark_leaves_a_table_a_plot_and_every_walk(tmp_path: Path):
    named = [f"--policy={name}" for name in ("random", "local", "random")]
    asked = ["bench", "policies", "--quick", *named, "--out", str(tmp_path)]
    done = CliRunner().invoke(commands, asked)
    assert done.exit_code == 0, done.output
    walks = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len(walks) == 2 * 2 * (6 + len(shipped_landscapes()))
    assert "| random | " in (tmp_path / "table.md").read_text()
    ET.parse(tmp_path / "regret.svg")
