"""A manifest is loaded whole or refused in one line that says where, what, and what to write instead."""

import re
from pathlib import Path

import pytest

from graph.snapshot import Snapshot
from harness.landscape.table import Provenance, provenance_of
from mutator.shipped import default_grammar
from targets.manifest import Budget, Direction, EntryPoint, Limits, Probe, Target, TargetError, Unit, load_target
from targets.wishes import Weights

MANIFEST = """\
name = "tiny"
root = "src"
mutable = ["train.py", "parts/model.py"]
frozen = ["measure.py", "words.txt"]
prepare = "measure.py:prepare"
train = "train.py"
predictor = "measure.py:load"
scorer = "measure.py:score"
checkpoint = "model.safetensors"
metric = "loss"
direction = "minimize"

[budget]
unit = "steps"
amount = 10
"""
SOURCES = {
    "train.py": "",
    "parts/model.py": "",
    "measure.py": "def prepare(d): ...\ndef load(c): ...\ndef score(p, h): ...\n",
    "words.txt": "a b c",
    "other.py": "def score(p, h): ...\n",
    "broken.py": "def score(:\n",
    "notes.md": "",
}
SHIPPED = sorted(path.parent for path in Path(__file__).parents[1].glob("targets/*/codegraft.toml"))


@pytest.fixture
def folder(tmp_path):
    for path, text in SOURCES.items():
        file = tmp_path / "src" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "codegraft.toml").write_text(MANIFEST)
    return tmp_path


def refusal(folder: Path, manifest: str) -> str:
    """Return what is said about a manifest, after its path."""
    (folder / "codegraft.toml").write_text(manifest)
    with pytest.raises(TargetError) as caught:
        load_target(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder / 'codegraft.toml'}: ")


def test_manifest_is_loaded_by_its_folder_or_by_itself(folder):
    assert load_target(folder) == load_target(folder / "codegraft.toml")


def test_relative_path_gives_an_absolute_target(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert load_target(Path()).folder == load_target(Path("codegraft.toml")).folder == folder.resolve()


def test_loaded_target_holds_what_the_manifest_says(folder):
    target = load_target(folder)
    assert target.root_dir == folder.resolve() / "src"
    assert target.scorer == EntryPoint("measure.py", "score")
    assert str(target.scorer) == "measure.py:score"
    assert target.direction is Direction.MINIMIZE
    assert target.budget == Budget(unit=Unit.STEPS, amount=10.0)
    assert (target.limits, target.protected, target.probes) == (Limits(), (), ())


def test_gain_is_positive_when_better(folder):
    assert load_target(folder).sign * (0.9 - 1.0) > 0
    (folder / "codegraft.toml").write_text(MANIFEST.replace("minimize", "maximize"))
    assert load_target(folder).sign * (1.0 - 0.9) > 0


MEASURED = "\n[measured]\nbaseline = 1.5\nsd = 0.02\nseeds = 10\nwall_s = 4\ncpu_s = 3.5\n"


def test_what_was_measured_is_read_and_changes_no_run(folder):
    plain = load_target(folder)
    script = '["scale-literal@train/literal.lr?by=2.0"]'
    (folder / "codegraft.toml").write_text(MANIFEST + MEASURED + f"best = 1.25\nscript = {script}\n")
    known = load_target(folder)
    assert (known.measured.baseline, known.measured.seeds, known.measured.headroom) == (1.5, 10, 0.25)
    assert known.digest == plain.digest


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (
            "best = 1.75",
            "measured.best is 1.75, worse than its baseline of 1.5; leave it out, or correct the direction",
        ),
        ('script = ["a@b"]', "measured.script has no measured.best that it leads to; write both"),
        ("bset = 1", "measured.bset is no key of a manifest; did you mean best?"),
        ("best = inf", "measured.best is inf; write the best mean metric that is known, or nothing"),
    ],
)
def test_measured_that_cannot_be_is_refused(folder, said, refused):
    assert refusal(folder, MANIFEST + MEASURED + said) == refused


def with_reward(said: str) -> str:
    return f"{MANIFEST}\n[reward]\n{said}\n"


def test_weights_of_the_reward_are_read_and_count_for_a_campaign_but_for_no_landscape(folder):
    plain = load_target(folder)
    (folder / "codegraft.toml").write_text(with_reward("novelty = 0.25"))
    assert load_target(folder).digest == plain.digest  # as it is without it
    (folder / "codegraft.toml").write_text(with_reward("novelty = 1\nfailure = -5.0"))
    weighed = load_target(folder)
    assert weighed.reward == Weights(novelty=1.0, failure=-5.0)
    assert weighed.digest != plain.digest
    assert provenance(weighed) == provenance(plain)


@pytest.mark.parametrize(
    ("reward", "refused"),
    [
        ("novelty = -0.1", "reward.novelty is -0.1; write what the most novel program gets, a number of at least 0"),
        (
            "complexity = 0.1",
            "reward.complexity is 0.1; write what each path beyond those of the unedited target gets, a",
        ),
        (
            "equivalent = 0.5",
            "reward.equivalent is 0.5; write what an edit that changes no metric gets, a number of at most",
        ),
        ("failure = nan", "reward.failure is nan; write what a run without a metric gets, a number of at most 0"),
        (
            "crash = -3.0",
            "reward.crash is no key of a manifest; write one of novelty, complexity, equivalent, stopped, fail",
        ),
        ("stopped = -0.5", "reward.stopped is -0.5, more than the same run may get when it ends; write at most -1.0"),
        (
            "equivalent = -1.5",
            "reward.stopped is -1.0, more than the same run may get when it ends; write at most -1.5",
        ),
        (
            "failure = -1.5",
            "reward.failure is -1.5, more than a run that was measured or stopped may get; write at most -2.0",
        ),
        (
            "stopped = -3.0",
            "reward.failure is -2.0, more than a run that was measured or stopped may get; write at most -4.0",
        ),
    ],
)
def test_weights_that_a_policy_would_exploit_are_refused(folder, reward, refused):
    assert refusal(folder, with_reward(reward)).startswith(refused)


def with_search(said: str) -> str:
    return f"{MANIFEST}\n[search]\n{said}\n"


def test_wishes_are_read_and_count_for_a_campaign_but_for_no_landscape(folder):
    plain = load_target(folder)
    (folder / "codegraft.toml").write_text(with_search(""))
    assert load_target(folder).digest == plain.digest  # a table that says nothing changes nothing
    wishes = 'prefer = { "insert-norm" = 3, "scale-literal" = 0.2 }\nforbid = ["train.py", "measure.py", "model:GPT"]'
    (folder / "codegraft.toml").write_text(with_search(wishes))
    wished = load_target(folder)
    assert wished.search.prefer == {"insert-norm": 3.0, "scale-literal": 0.2}
    assert wished.search.forbid == ("train.py", "measure.py", "model:GPT")
    assert wished.digest != plain.digest
    assert provenance(wished) == provenance(plain)


def provenance(target: Target) -> Provenance:
    return provenance_of(target, Snapshot({}), default_grammar(), seed=0, size=0)


@pytest.mark.parametrize(
    ("search", "refused"),
    [
        (
            "prefer = { swap-norm = 0 }",
            "search.prefer.swap-norm is 0; write how often to try kinds of edits before anything",
        ),
        ("prefer = { swap-norm = -1.0 }", "search.prefer.swap-norm is -1.0; write how often"),
        ("prefer = { swap-norm = inf }", "search.prefer.swap-norm is inf; write how often"),
        ('prefer = { swap-norm = "3" }', "search.prefer.swap-norm is '3'; write how often"),
        ('prefer = ["swap-norm"]', "search.prefer is ['swap-norm']; write how often"),
        (
            'forbid = "train.py"',
            "search.forbid is 'train.py'; write kinds, files and units that no edit of a search may",
        ),
        ('forbid = [""]', "search.forbid is ''; write kinds, files and units"),
        ("forbids = []", "search.forbids is no key of a manifest; did you mean forbid?"),
        (
            'forbid = ["trian.py"]',
            "search.forbid names 'trian.py', which neither mutable nor frozen does; write one of train.py, parts/model.py, ",
        ),
        (
            'forbid = ["swap-norm"]\nprefer = { swap-norm = 2.0 }',
            "search.forbid names 'swap-norm', which search.prefer names too; leave it in one of them",
        ),
    ],
)
def test_wishes_that_cannot_be_are_refused(folder, search, refused):
    assert refusal(folder, with_search(search)).startswith(refused)


def test_limits_and_probes_are_read(folder):
    manifest = 'probes = ["causal"]\nprotected = ["train:main"]\n' + MANIFEST + "[limits]\nwall_s = 5\nthreads = 2\n"
    (folder / "codegraft.toml").write_text(manifest)
    target = load_target(folder)
    assert target.probes == (Probe.CAUSAL,)
    assert target.protected == ("train:main",)
    assert target.limits == Limits(wall_s=5.0, threads=2)


def test_target_cannot_be_changed(folder):
    with pytest.raises(ValueError, match="frozen"):
        load_target(folder).name = "other"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # what the value is
        ('"steps"', '"epochs"', "budget.unit is 'epochs'; write one of steps, tokens, cpu_s, wall_s"),
        ("amount = 10", "amount = 0", "budget.amount is 0; write a number above 0"),
        ("amount = 10", 'amount = "10"', "budget.amount is '10'; write a number above 0"),
        ("amount = 10", "amount = true", "budget.amount is True; write a number above 0"),
        ("amount = 10", "amount = nan", "budget.amount is nan; write a number above 0"),
        ("amount = 10", "amount = inf", "budget.amount is inf; write a number above 0"),
        ("amount = 10", "amount = 10\n[limits]\nthreads = 1.5", "limits.threads is 1.5; write a whole number above 0"),
        ("amount = 10", "amount = 10\n[limits]\nmemory_mb = -1", "limits.memory_mb is -1; write megabytes, a whole"),
        ('"minimize"', '"down"', "direction is 'down'; write one of minimize, maximize"),
        ('"tiny"', '"../tiny"', "name is '../tiny'; write one word"),
        ('"tiny"', "3", "name is 3; write one word"),
        ('"loss"', '""', "metric is ''; write the name of a number that the scorer returns"),
        ('"model.safetensors"', '"out/model.pt"', "checkpoint is 'out/model.pt'; write the name of the file"),
        ('["train.py", "parts/model.py"]', "[]", "mutable is []; write the Python files that edits may change"),
        ('["train.py", "parts/model.py"]', '["train.py", 1]', "mutable is 1; write the Python files that edits"),
        ('["train.py", "parts/model.py"]', '"train.py"', "mutable is 'train.py'; write the Python files that edits"),
        ('"model.safetensors"', '"model.pt"', "checkpoint is 'model.pt'; write the name of the file"),
        ('"measure.py:load"', '"measure.load"', "predictor is 'measure.load'; write a function of a frozen file"),
        ('"measure.py:load"', '"measure.py:"', "predictor is 'measure.py:'; write a function of a frozen file"),
        ('"measure.py:load"', "7", 'predictor is 7; write a function of a frozen file, as in "predict.py:load"'),
        ('name = "tiny"', 'name = "tiny"\nprobes = ["nice"]', "probes is 'nice'; write a list out of causal"),
        (
            '[budget]\nunit = "steps"\namount = 10',
            "",
            'budget is missing; write a table [budget], as in unit = "steps"',
        ),
        ('[budget]\nunit = "steps"\namount = 10', "budget = 10", "budget is 10; write a table [budget]"),
        (
            'metric = "loss"',
            "",
            'metric is missing; write the name of a number that the scorer returns, as in "val_bpb"',
        ),
        ("amount = 10", "", "budget.amount is missing; write a number above 0"),
        # what the key is
        ("metric =", "metrc =", "metrc is no key of a manifest; did you mean metric?"),
        ("amount =", "amout =", "budget.amout is no key of a manifest; did you mean amount?"),
        ("amount = 10", "amount = 10\nzzz = 1", "budget.zzz is no key of a manifest; write one of unit, amount"),
        (
            "amount = 10",
            'amount = 10\nprobes = ["causal"]',
            "budget.probes is no key of a manifest; move the line above",
        ),
        ('name = "tiny"', 'name = "tiny"\nfolder = "x"', "folder is no key of a manifest; write one of name, root, "),
        # what the files are
        ('"src"', '"lib"', "root is 'lib', which is no folder below or beside the manifest"),
        ('"src"', '"/usr"', "root is '/usr', which is no folder below or beside the manifest"),
        ('"parts/model.py"', '"model.py"', "mutable names 'model.py', which is no file in "),
        ('"parts/model.py"', '"parts"', "mutable names 'parts', which is no file in "),
        ('"parts/model.py"', '"./train.py"', "mutable names './train.py'; write it relative to root and plain"),
        ('"parts/model.py"', '"../codegraft.toml"', "mutable names '../codegraft.toml'; write it relative to root"),
        ('"parts/model.py"', '"/etc/passwd"', "mutable names '/etc/passwd'; write it relative to root"),
        ('"parts/model.py"', '"train.py"', "mutable names 'train.py' twice; leave one out"),
        ('"parts/model.py"', '"notes.md"', "mutable names 'notes.md', which is no Python file; leave it out"),
        ('"words.txt"', '"train.py"', "frozen names 'train.py', which mutable names too; leave it in one of them"),
        # what fits together
        (
            '"train.py"\n',
            '"other.py"\n',
            "train is 'other.py', which mutable does not name; write one of train.py, parts",
        ),
        ('"measure.py:score"', '"other.py:score"', "scorer is 'other.py:score', but frozen does not name 'other.py'"),
        ('"measure.py:score"', '"measure.py:bpb"', "has no function 'bpb'; write one of prepare, load, score"),
        ('"words.txt"', '"notes.md"', None),
    ],
)
def test_bad_manifest_is_refused_in_one_line_that_says_what_to_write(folder, old, new, said):
    manifest = MANIFEST.replace(old, new, 1)
    assert manifest != MANIFEST
    if said is None:  # the control: a harmless change is no error
        (folder / "codegraft.toml").write_text(manifest)
        load_target(folder)
    else:
        assert said in refusal(folder, manifest)


def test_frozen_file_that_does_not_parse_is_named(folder):
    manifest = MANIFEST.replace('"words.txt"', '"broken.py"').replace("measure.py:score", "broken.py:score")
    assert re.match(r"scorer is 'broken.py:score', but broken.py is no Python: .*line 1", refusal(folder, manifest))


def test_link_out_of_the_root_is_refused(folder):
    (folder / "outside.py").write_text("")
    (folder / "src" / "link.py").symlink_to(folder / "outside.py")
    assert "a link that leaves" in refusal(folder, MANIFEST.replace("parts/model.py", "link.py"))


def test_broken_toml_is_refused_with_its_line(folder):
    assert re.match(r"is no TOML: .*line 1.*; correct it there$", refusal(folder, MANIFEST.replace('"tiny"', '"tiny')))


def test_bytes_that_are_no_text_are_refused(folder):
    (folder / "codegraft.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(TargetError, match="is no TOML: 'utf-8' codec can't decode byte 0xff"):
        load_target(folder)


@pytest.mark.parametrize("path", ["nowhere", "nowhere/codegraft.toml", "src"])
def test_missing_manifest_is_named(folder, path):
    with pytest.raises(
        TargetError, match=r"codegraft.toml: does not exist; name a codegraft.toml|nowhere: does not exist"
    ):
        load_target(folder / path)


def test_long_value_is_cut(folder):
    assert len(refusal(folder, MANIFEST.replace('"steps"', repr("x" * 5000)))) < 400


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_target_loads(path):
    target = load_target(path)
    assert target.name == path.name
