"""A landscape as a file, and what it answers when it is asked."""

import json
import math
import statistics
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pyarrow
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from harness.cli import commands
from harness.landscape.journal import Journal
from harness.landscape.landscape import share_gained
from harness.landscape.lookup import open_landscape
from harness.landscape.store import find_landscape, read_landscape, write_landscape
from harness.landscape.surrogate import RUINED
from harness.values import TrialError
from tests import landscapes


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("landscapes") / "toy.parquet"
    write_landscape(path, landscapes.table(), landscapes.model())
    return path


@pytest.fixture(scope="module")
def landscape(file):
    return open_landscape(str(file))


def test_a_table_comes_back_from_its_file_to_six_digits_and_is_small(file: Path):
    written, (read, model) = landscapes.table(), read_landscape(file)
    assert (read.provenance, read.environments) == (written.provenance, written.environments)
    assert [replace(row, metric=0.0) for row in read.rows] == [replace(row, metric=0.0) for row in written.rows]
    pairs = list(zip(read.rows, written.rows, strict=True))
    assert all(a.metric == pytest.approx(b.metric, rel=1e-5, nan_ok=True) for a, b in pairs)
    assert (model.noise, model.surrogate) == (landscapes.model().noise, landscapes.model().surrogate)
    assert file.stat().st_size < 70 * len(read.rows)


@pytest.mark.parametrize(
    ("content", "said"), [(b"a,b\n1,2\n", "is no Parquet file"), (None, "is Parquet, but no landscape")]
)
def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path, content: bytes | None, said: str):
    path = tmp_path / "foreign.parquet"
    if content is None:
        parquet.write_table(pyarrow.table({"a": [1]}), path)
    else:
        path.write_bytes(content)
    result = CliRunner().invoke(commands, ["landscape", "show", str(path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {path}: {said}")
    assert result.stderr.count("\n") == 1


def test_a_name_that_is_nothing_is_refused():
    with pytest.raises(TrialError, match="nowhere: is no file, and no landscape that ships with codegraft"):
        find_landscape("nowhere")


def test_a_landscape_of_other_sources_is_not_opened_and_is_shown_with_a_warning(tmp_path: Path):
    table = landscapes.table()
    other = replace(table, provenance=replace(table.provenance, sources="0" * 32))
    path = tmp_path / "toy.parquet"
    write_landscape(path, other, landscapes.model())
    with pytest.raises(TrialError, match="was measured with other sources; build it again"):
        open_landscape(str(path))
    shown = CliRunner().invoke(commands, ["landscape", "show", str(path)])
    assert "warning    sources differ from those that it was measured with" in shown.stdout


def test_what_is_shown_names_stages_noise_best_scripts_and_errors(file: Path):
    shown = CliRunner().invoke(commands, ["landscape", "show", str(file)]).stdout
    for said in (
        "baseline   8 ok",
        "noise      val_loss 1.0",
        "surrogate  knee",
        "rmse",
        "crashes",
        "made with  codegraft",
    ):
        assert said in shown
    facts = json.loads(CliRunner().invoke(commands, ["landscape", "show", str(file), "--json"]).stdout)
    assert facts["provenance"]["target"] == "toy"
    assert facts["best"][0]["gain"] == max(each["gain"] for each in facts["best"] if len(each["script"]) == 1)


def test_equal_seeds_look_up_equal_numbers_and_others_do_not(file: Path, landscape):
    again = open_landscape(str(file))
    pair = next(
        p
        for p in combinations(landscape.edits, 2)
        if landscape.value(p) == landscape.value(p) and p[0].site != p[1].site
    )
    assert again.measure(pair, 3) == landscape.measure(tuple(reversed(pair)), 3)
    assert again.value(pair) == landscape.value(pair)
    assert again.measure(pair, 4) != again.measure(pair, 3)
    assert again.best == landscape.best


def test_the_landscape_is_near_the_truth_that_it_was_measured_on(landscape):
    found, truth = [], []
    for pair in combinations(landscape.edits[::3], 2):
        gain = landscapes.true_gain(tuple(sorted(edit.address for edit in pair)))
        value = landscape.value(pair)
        if not math.isnan(value) and not math.isnan(gain) and pair[0].site != pair[1].site:
            found.append((landscape.baseline - value) / landscape.sd)
            truth.append(max(gain, RUINED))
    assert statistics.correlation(found, truth) > 0.6


def test_what_crashed_has_no_metric_alone_nor_with_others(landscape):
    crashed = [edit for edit in landscape.edits if math.isnan(landscapes.true_gain((edit.address,)))]
    measured = [edit for edit in crashed if math.isnan(landscape.value((edit,)))]
    assert measured
    other = next(edit for edit in landscape.edits if edit.site != measured[0].site)
    assert math.isnan(landscape.value((measured[0], other)))
    assert math.isnan(landscape.measure((measured[0], other), 0))


def test_programs_on_one_seed_share_noise(landscape):
    edit = next(edit for edit in landscape.edits if landscape.value((edit,)) == landscape.value((edit,)))
    runs = [(landscape.measure((), seed), landscape.measure((edit,), seed)) for seed in range(400)]
    assert statistics.correlation(*zip(*runs, strict=True)) > 0.25
    assert statistics.stdev(a for a, _ in runs) == pytest.approx(landscape.sd, rel=0.15)


def test_legal_edits_are_at_other_sites_and_in_no_recorded_conflict(landscape):
    edit = landscape.edits[0]
    following = landscape.legal((edit,))
    assert edit.site not in {other.site for other in following}
    assert len(landscape.legal(())) == len(landscape.edits)


def test_no_script_beats_the_best_and_a_greedy_walk_gains(landscape):
    script = ()
    for _ in range(4):
        steps = [(*script, edit) for edit in landscape.legal(script)]
        shares = [(share, n) for n, step in enumerate(steps) if (share := share_gained(landscape, step)) == share]
        script = steps[max(shares)[1]]
    assert 0.4 < share_gained(landscape, script) <= 1.0 + 1e-9


def test_nothing_is_better_nor_measured_better_than_can_be_true(file: Path, tmp_path: Path):
    table, model = read_landscape(file)
    bound = landscapes.BASELINE - 2.0 * landscapes.SD  # where much of what was measured is
    path = tmp_path / "toy.parquet"
    write_landscape(path, table, replace(model, noise=replace(model.noise, bound=bound)))
    held = open_landscape(str(path))
    values = [held.value((edit,)) for edit in held.edits]
    measured = [held.measure((edit,), seed) for edit in held.edits for seed in range(3)]
    assert held.best == pytest.approx(bound)
    assert min(value for value in values if value == value) == pytest.approx(bound)
    assert min(metric for metric in measured if metric == metric) == pytest.approx(bound)
    assert any(bound < metric < landscapes.BASELINE for metric in measured)
    best = [edit for edit, value in zip(held.edits, values, strict=True) if value == pytest.approx(bound)]
    assert all(held.measure((edit,), seed) == pytest.approx(bound) for edit in best for seed in range(3))


def test_an_edit_of_another_target_is_refused(landscape):
    with pytest.raises(TrialError, match="is no edit of the landscape"):
        landscape.value((replace(landscape.edits[0], site="train:elsewhere"),))


def test_a_journal_goes_on_after_a_line_that_was_cut_short(tmp_path: Path):
    path, rows = tmp_path / "toy.jsonl", landscapes.table().rows[:40]
    with Journal(path, landscapes.provenance(450), landscapes.ENVIRONMENT) as journal:
        for row in rows:
            journal.add(row, digest=f"of {row.script}")
    path.write_bytes(path.read_bytes()[:-7])
    with Journal(path, landscapes.provenance(450), landscapes.ENVIRONMENT) as journal:
        assert [row.script for row in journal.rows] == [row.script for row in rows[:-1]]
        assert journal.script_of(f"of {rows[5].script}") == rows[5].script
        journal.add(rows[-1])
    with Journal(path, landscapes.provenance(450), landscapes.ENVIRONMENT) as journal:
        assert len(journal.table.rows) == len(rows)


def test_a_journal_of_other_sources_is_refused(tmp_path: Path):
    path, own = tmp_path / "toy.jsonl", landscapes.provenance(450)
    with Journal(path, own, landscapes.ENVIRONMENT):
        pass
    with pytest.raises(TrialError, match="was begun with another sources"):
        Journal(path, replace(own, sources="0" * 32), landscapes.ENVIRONMENT)
