"""The programs of a campaign: what a move may be, and that graphs are built for whoever asks and for nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.objects import ObjectStore
from harness.programs import Programs
from harness.values import Decision, Outcome, Reward, Status, Trial, Verdict
from mutator.edit import parse_edit, print_script
from policy.protocol import Move
from targets.manifest import load_target

TOY = load_target(Path(__file__).parent.parent / "targets" / "toy")
RUNS = tuple(Outcome(Status.OK, 1.0 + seed, seed) for seed in range(3))
LOST = Verdict(Decision.DISCARD, 1.0, -0.1, -1.0, "")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


@pytest.fixture
def programs(store: ObjectStore) -> Programs:
    programs = Programs(TOY, store)
    programs.begin(RUNS)
    return programs


def measure(programs: Programs, store: ObjectStore, number: int, parent: int) -> None:
    """Make a trial of a few bytes that is measured and not kept."""
    script = (parse_edit("scale-literal@config:Config/literal.lr?by=2.0"),)
    files = {**programs.root.files, "note.txt": b"%d" % number}
    commit = store.commit(files, programs[parent].commit, print_script(script), time_s=number)
    programs.absorb(Trial(number, parent, script, "", commit, RUNS[:1], LOST, Reward(())), ())


def test_no_graph_is_built_before_one_is_asked_for_and_few_are_kept(programs: Programs, store: ObjectStore) -> None:
    for number in range(1, 12):
        measure(programs, store, number, number - 1)
    opened = programs._shelf.open.cache_info
    assert [program.number for program in programs.known] == list(range(12))
    assert len(programs[11].script) == 11
    assert opened().misses == 0
    assert all(program.edits for program in programs.known)
    assert (opened().misses, opened().currsize) == (12, opened().maxsize)


def test_a_program_stays_as_it_was_shown(programs: Programs) -> None:
    shown = programs.incumbent
    first, second, *_ = shown.edits
    programs.edit(0, (first,))
    assert first in shown.edits
    assert first not in programs.incumbent.edits
    programs.edit(0, (first, second))
    assert second in programs.incumbent.edits


def test_a_move_is_edits_of_a_known_program_and_no_edit_alone_twice(programs: Programs) -> None:
    first, second, *_ = programs[0].edits
    programs.edit(0, (first,))
    assert programs.offers(Move(0, (second,)))
    assert programs.offers(Move(0, (first, second)))
    gone = parse_edit("scale-literal@config:Config/literal.nothing?by=2.0")
    for move in (
        Move(0, ()),
        Move(0, (first,)),
        Move(0, (second, second)),
        Move(0, (second, gone)),
        Move(3, (second,)),
    ):
        assert not programs.offers(move), move


def test_two_edits_in_conflict_are_refused_with_a_reason(programs: Programs) -> None:
    rates = [edit for edit in programs[0].edits if edit.site.endswith("literal.lr")][:2]
    snapshot, fault = programs.edit(0, tuple(rates))
    assert fault is not None
    assert (fault.status, snapshot.files) == (Status.FAILED, programs.root.files)
    assert fault.detail.startswith("refused: ")
    assert "conflict" in fault.detail
