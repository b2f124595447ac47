"""When a session of a campaign ends early, and when it does not."""

import math

import pytest

from harness.guards import Guards, no_room, reason_to_stop
from harness.values import Decision, Outcome, Reward, Status, Trial, Verdict
from mutator.edit import Edit

EDIT = Edit("set-literal", "train:lr")
RAN = "posix"
HARMLESS = Guards()


def trials(letters: str) -> list[Trial]:
    """One trial per letter: k kept, d discarded, f failed, r refused before it ran, s stopped, = a duplicate."""
    of = {"f": Status.FAILED, "r": Status.FAILED, "s": Status.STOPPED, "=": Status.DUPLICATE}
    made = []
    for number, letter in enumerate(letters, 1):
        outcome = Outcome(of.get(letter, Status.OK), 1.0, isolation="" if letter in "r=" else RAN)
        decision = Decision.KEEP if letter == "k" else Decision.DISCARD
        verdict = Verdict(decision, 1.0, math.nan, math.nan, "")
        made.append(Trial(number, 0, (EDIT,), "s", "c", (outcome,), verdict, Reward(())))
    return made


def ask(letters: str, guards: Guards = HARMLESS, *, before: int = 0, left: int = 50, elapsed_s: float = 0.0) -> str:
    return reason_to_stop(guards, trials(letters), n_before=before, n_left=left, elapsed_s=elapsed_s)


def test_nothing_ends_a_healthy_session():
    assert ask("kddsd=dfkdfdfdd" * 3) == ""


def test_three_failures_in_a_row_pause_and_name_themselves():
    assert (
        ask("ddfff")
        == "paused: 3 trials in a row failed (3 failed; 4 failed; 5 failed); look at them, then the same command goes on"
    )
    assert ask("ddffdf") == ask("ddff") == ""
    assert ask("fff", Guards(pause_after=0)) == ask("fff", before=1) == ""


@pytest.mark.parametrize("letters", ["ffs", "ff=", "ffr", "ffd"])
def test_what_never_ran_or_was_stopped_is_no_failure(letters):
    assert ask(letters) == ""


def test_a_share_of_failures_ends_a_session():
    often = Guards(max_failures=0.3)
    assert ask("dfd" * 10, often).startswith("failing: 7 of the last 20 trials")
    assert ask("ddfd" * 10, often) == ""
    assert ask("dfd" * 6, often) == ""  # too few to say


def test_patience_counts_from_the_last_keep_and_within_the_session():
    patient = Guards(patience=3)
    assert ask("kddd", patient) == "no improvement: 3 trials without a keep"
    assert ask("kdd", patient) == ask("dddk", patient) == ask("dddddd", patient, before=4) == ""


def test_converged_is_less_than_one_keep_expected():
    rule = Guards(until_converged=True)
    assert ask("k" + "d" * 31, rule, left=10).startswith("converged: 31 trials")
    assert ask("k" + "d" * 30, rule, left=10) == ask("d" * 31 + "k", rule, left=10) == ""


def test_time_ends_a_session():
    assert ask("d", Guards(wall_s=60.0), elapsed_s=60.0) == "out of time: 60 s"
    assert ask("d", Guards(wall_s=60.0), elapsed_s=59.9) == ""


def test_a_disk_with_room_is_no_reason_to_pause(tmp_path):
    assert no_room(tmp_path) == ""
