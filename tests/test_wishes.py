"""What a person wishes of a search: what is preferred and forbidden reaches every policy, and what does not exist is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign import Campaign, Session
from harness.landscape.ground import read_ground
from harness.ledger import Ledger, read_record
from harness.measure import Runner
from harness.objects import ObjectStore
from harness.programs import Programs
from harness.record import Settings
from harness.replay import Event, State, plain
from harness.sources import open_sources, open_target, read_target
from harness.values import Outcome, Status
from harness.verify import verify
from harness.wishes import priors_of
from mutator.edit import EditError
from mutator.kind import Reason, Refused
from mutator.shipped import default_grammar
from policy.protocol import Move
from policy.random import RandomPolicy
from targets.manifest import TargetError, load_target
from targets.wishes import DEFAULT_WEIGHTS, Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutator.edit import Edit
    from policy.protocol import Scene

CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))
TARGETS = Path(__file__).parent.parent / "targets"
UNEDITED = open_sources("toy").code
RATE = "scale-literal@config:Config/literal.lr?by=2.0"


def wishing(folder: Path, search: str, *, name: str = "toy") -> Path:
    """Copy a target that ships and give it wishes."""
    shutil.copytree(TARGETS / name, folder, dirs_exist_ok=True)
    manifest = folder / "codegraft.toml"
    manifest.write_text(f"{(TARGETS / name / 'codegraft.toml').read_text()}\n[search]\n{search}\n")
    return folder


def codegraft(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CODEGRAFT, *map(str, args)], capture_output=True, text=True, check=False, timeout=300)


def apart(edits: Sequence[Edit], allowed: Sequence[Edit]) -> set[Edit]:
    assert {*allowed} < {*edits}
    return {*edits} - {*allowed}


@pytest.fixture(scope="module")
def edits() -> tuple[Edit, ...]:
    return tuple(UNEDITED.edits())


@pytest.mark.parametrize(
    ("name", "is_forbidden"),
    [
        ("scale-literal", lambda edit: edit.kind == "scale-literal"),
        ("config.py", lambda edit: edit.site.startswith("config:")),
        ("config", lambda edit: edit.site.startswith("config:")),
        ("optim:Momentum", lambda edit: edit.site.startswith("optim:Momentum")),
        ("optim:Momentum.step", lambda edit: edit.site.startswith("optim:Momentum.step")),
    ],
)
def test_what_is_forbidden_is_not_listed_and_nothing_else_is_missing(tmp_path, edits, name, is_forbidden):
    allowed = tuple(open_sources(str(wishing(tmp_path, f'forbid = ["{name}"]'))).code.edits())
    assert apart(edits, allowed) == {edit for edit in edits if is_forbidden(edit)}


def test_a_policy_is_offered_nothing_that_is_forbidden_on_any_program(tmp_path, edits):
    target = load_target(wishing(tmp_path / "target", 'forbid = ["config.py", "replace-operator"]'))
    programs = Programs(target, ObjectStore(tmp_path))
    programs.begin([Outcome(Status.OK, 1.0 + seed, seed) for seed in range(3)])
    gone = apart(edits, programs.incumbent.edits)
    assert {edit.kind for edit in gone if not edit.site.startswith("config:")} == {"replace-operator"}
    assert not any(programs.offers(Move(0, (edit,))) for edit in gone)
    assert programs.offers(Move(0, programs.incumbent.edits[:1]))


@pytest.mark.parametrize(
    ("forbid", "script", "said"),
    [
        ("scale-literal", [RATE], f"{RATE}: scale-literal is a forbidden kind; choose an edit of another one"),
        ("config.py", [RATE], f"{RATE}: all of config.py is forbidden; choose an edit elsewhere"),
        ("config:Config", [RATE], f"{RATE}: config:Config is forbidden; choose an edit elsewhere"),
    ],
)
def test_a_script_with_a_forbidden_edit_is_refused_in_one_line(tmp_path, forbid, script, said):
    code = open_sources(str(wishing(tmp_path, f'forbid = ["{forbid}"]'))).code
    allowed = next(edit.uri for edit in code.edits() if edit.site.startswith("optim:"))
    for attempt in (
        lambda: code.plan(script[0]),
        lambda: code.apply(allowed, *script),
        lambda: code.apply_together(allowed, *script),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert (refused.value.reason, str(refused.value)) == (Reason.FORBIDDEN, said)
    assert UNEDITED.apply(allowed, *script).script  # the control: nothing else speaks against it


def test_a_patch_does_not_reach_into_a_forbidden_unit_from_elsewhere(tmp_path):
    swap = "swap-norm@layers:Norm.forward/call.layer_norm?to=rms"  # which needs another weight in __init__
    free = open_sources(str(wishing(tmp_path / "free", "", name="bytelm"))).code
    spared = open_sources(str(wishing(tmp_path / "spared", 'forbid = ["layers:Norm.__init__"]', name="bytelm"))).code
    assert any(edit.address == swap for edit in free.edits("swap-norm"))
    assert not any(edit.address == swap for edit in spared.edits("swap-norm"))
    with pytest.raises(EditError, match=r"^layers:Norm.__init__: is protected; .*, or is spared$"):
        spared.apply(swap)


def test_the_command_line_lists_and_applies_nothing_that_is_forbidden(tmp_path):
    folder = wishing(tmp_path, 'forbid = ["scale-literal", "train:train"]')
    listed = codegraft("edits", folder).stdout
    assert listed
    assert "scale-literal@" not in listed
    done = codegraft("apply", folder, RATE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"codegraft: {RATE}: scale-literal is a forbidden kind; choose an edit of another one\n"


def test_a_landscape_has_the_edits_that_are_forbidden_too(tmp_path, edits):
    assert read_ground(str(wishing(tmp_path, 'forbid = ["scale-literal", "model.py"]'))).edits == edits


def test_check_says_what_is_forbidden_and_applies_what_is_documented_in_spite_of_it(tmp_path):
    folder = wishing(tmp_path, 'forbid = ["scale-literal", "train.py"]')
    manifest = folder / "codegraft.toml"
    measured = (
        f'[measured]\nbaseline = 1.0\nsd = 0.1\nseeds = 3\nwall_s = 1.0\ncpu_s = 1.0\nbest = 0.9\nscript = ["{RATE}"]\n'
    )
    manifest.write_text(manifest.read_text() + measured)
    said = codegraft("check", folder, "--runs", 0).stdout
    assert "\nforbidden (2): scale-literal, train.py\n" in said
    assert "does not apply any more" not in said


class Onlooker(RandomPolicy):
    """Remembers what it was shown."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.scenes: list[Scene] = []

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        self.scenes.append(scene)
        return super().propose(scene, n)


@pytest.fixture(scope="module")
def wished(tmp_path_factory):
    """A campaign on a target with wishes, what its policy was shown, and the target."""
    folder = tmp_path_factory.mktemp("wished")
    search = 'prefer = { "scale-literal" = 3.0, "insert-norm" = 0.2, "hoist-literal" = 0.5 }\nforbid = ["model.py"]'
    target = load_target(wishing(folder / "target", search))
    where = (str(target.folder), read_target(target).digest, target.name, target.metric, target.direction)
    settings = Settings(*where, "onlooker", 3, 4, 3, 3, "", "none", target.digest)
    policy = Onlooker(3)
    with Ledger.create(folder / "c", settings) as ledger, Runner(target) as runner:
        session = Session(folder / "c", lambda line: None)
        Campaign(target, ledger, ObjectStore(folder / "c"), session).run(runner, policy)
    return folder / "c", policy.scenes, target


def test_every_scene_of_a_campaign_has_the_grammars_priors_times_what_is_preferred(wished):
    _, scenes, _ = wished
    known = default_grammar().priors
    assert known["hoist-literal"] == 0.1  # an edit that changes nothing is rarely tried as it is
    preferred = {"scale-literal": 3.0, "insert-norm": 0.2, "hoist-literal": 0.05}
    assert len(scenes) >= 4
    assert all(scene.priors == {**known, **preferred} for scene in scenes)


def test_a_target_without_wishes_has_the_grammars_priors():
    assert priors_of(load_target(TARGETS / "toy")) == default_grammar().priors


def test_no_trial_touches_what_is_forbidden(wished):
    folder, _, _ = wished
    record, store = read_record(folder), ObjectStore(folder)
    files = {store.files(proposal.commit)["model.py"] for proposal in record.proposals}
    assert len(record.trials) == 4
    assert files == {(TARGETS / "toy" / "model.py").read_bytes()}


def test_a_campaign_verifies_whatever_is_forbidden_after_it(wished):
    folder, _, target = wished
    manifest = target.folder / "codegraft.toml"
    manifest.write_text(
        manifest.read_text().replace('["model.py"]', '["config.py", "model.py", "optim.py", "train.py"]')
    )
    assert not [*open_sources(str(target.folder)).code.edits()]
    assert [check.faults for check in verify(folder, rescores=False)] == [()] * 4


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (
            'prefer = { "insert-nrm" = 2.0 }',
            "search.prefer names 'insert-nrm': insert-nrm: is no edit kind; did you mean insert-norm",
        ),
        (
            'forbid = ["swap-optimiser"]',
            "search.forbid names 'swap-optimiser', which is no edit kind, no file, no function and no class; "
            "did you mean swap-optimizer",
        ),
        (
            'forbid = ["optim:Momentum.stp"]',
            "search.forbid names 'optim:Momentum.stp', which is no edit kind, no file, no function and no class; "
            "did you mean optim:Momentum.step",
        ),
        (
            'forbid = ["config:Config/literal.lr"]',  # a part of a unit: for it there is `protected`
            "search.forbid names 'config:Config/literal.lr', which is no edit kind, no file, no function and no class",
        ),
        (
            'forbid = ["%"]',
            "search.forbid names '%', which is no edit kind, no file, no function and no class; `codegraft",
        ),
    ],
)
def test_a_wish_for_what_does_not_exist_is_refused_before_anything_is_written(tmp_path, search, said):
    folder = wishing(tmp_path / "target", search)
    with pytest.raises(TargetError) as refused:
        _ = open_sources(str(folder)).code
    assert str(refused.value).startswith(f"{folder / 'codegraft.toml'}: {said}")
    assert "\n" not in str(refused.value)
    done = codegraft("search", folder, "--out", tmp_path / "c")
    assert (done.returncode, done.stderr) == (2, f"codegraft: {refused.value}\n")
    assert not (tmp_path / "c").exists()


def test_a_forbidden_unit_may_stand_in_a_frozen_file(tmp_path):
    target = open_target(str(wishing(tmp_path / "target", 'forbid = ["scorer:score", "prepare.py"]')))
    assert {*open_sources(str(target.folder)).code.edits()} == {*UNEDITED.edits()}


# --- the reward ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weighed(tmp_path_factory):
    """A campaign with weights of its own, and its target."""
    folder = tmp_path_factory.mktemp("weighed")
    target = wishing(folder / "target", "[reward]\nnovelty = 2.0\nequivalent = -1.5\nstopped = -1.5\nfailure = -9.0")
    options = ("--policy", "random", "--trials", 5, "--seed", 3, "--out", folder / "c")
    done = codegraft("search", target, *options)
    assert done.returncode == 0, done.stderr
    return folder / "c", target


def make_novelty_worthless(target: Path) -> None:
    manifest = target / "codegraft.toml"
    manifest.write_text(manifest.read_text().replace("novelty = 2.0", "novelty = 0.0"))
    assert load_target(target).reward.novelty == 0.0


def test_a_campaign_rewards_by_the_weights_of_its_manifest(weighed):
    record = read_record(weighed[0])
    assert record.settings.weights == Weights(novelty=2.0, equivalent=-1.5, stopped=-1.5, failure=-9.0)
    terms = [dict(trial.reward.terms) for trial in record.trials]
    assert max(each["novelty"] for each in terms if "novelty" in each) > DEFAULT_WEIGHTS.novelty
    assert all(each["failure"] == -9.0 for each in terms if "failure" in each)


def test_verify_rewards_by_the_weights_that_a_campaign_began_with(weighed):
    folder, target = weighed
    make_novelty_worthless(target)
    assert [check.faults for check in verify(folder, rescores=False)] == [()] * 4


def test_weights_that_were_changed_under_a_campaign_are_refused(weighed, tmp_path):
    folder = shutil.copytree(weighed[0], tmp_path / "c")
    make_novelty_worthless(weighed[1])
    done = codegraft("search", weighed[1], "--policy", "random", "--trials", 5, "--seed", 3, "--out", folder)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "its manifest has changed since this campaign began" in done.stderr


def test_a_ledger_from_before_there_were_weights_has_the_usual_ones():
    said = plain(
        Settings("/toy", "digest", "toy", "val_loss", "minimize", "random", 3, 4, 3, 3, weights=Weights(failure=-3.0))
    )
    before = {name: value for name, value in said.items() if name != "weights"}
    for body, expected in ((said, Weights(failure=-3.0)), (before, DEFAULT_WEIGHTS)):
        state = State()
        state.take(Event.after(state, 0.0, "campaign", {"settings": body}))
        assert state.record.settings.weights == expected
