"""The tables of docs/policy.md are what the walks say that are in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.policy_tables import CAMPAIGNS, ROWS, TABLES, real_tables
from harness.benchmark.play import Played
from harness.benchmark.rows import read_rows
from harness.benchmark.table import stand

PAGE = (Path(__file__).parent.parent / "docs" / "policy.md").read_text()
STANDINGS = stand([*read_rows(ROWS, Played)])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_the_page_has_the_table_that_the_walks_make(table):
    assert "\n".join(table(STANDINGS)) in PAGE


@pytest.mark.parametrize("table", [*real_tables(CAMPAIGNS)])
def test_the_page_has_what_campaigns_gained(table):
    assert "\n".join(table) in PAGE


def test_all_policies_played_all_tasks_with_sixty_seeds_and_two_hundred_trials():
    assert {scores.shape for scores in STANDINGS.curves.values()} == {(10, 60, 200)}
    assert set(STANDINGS.policies) == {"random", "local", "evolution", "bandit", "tpe", "gp", "ppo"}
