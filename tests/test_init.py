"""`codegraft init`: what it writes for small repositories in well-known shapes, and that their own metric comes out of a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.init.printed import metrics_in
from harness.init.repository import open_repository
from harness.init.stubs import stubs_of
from harness.init.survey import Question, survey
from harness.init.write import manifest_text
from harness.sources import open_sources
from targets.manifest import Direction, load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CASES = Path(__file__).parent / "cases/init"
SHAPES = ("options", "globals", "trainer", "functions")
CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))


def place(case: str, folder: Path) -> Path:
    """Copy a case, with the data that it reads made by itself or by hand."""
    root = folder / case
    shutil.copytree(CASES / case, root, ignore=shutil.ignore_patterns("expected.toml", "__pycache__"))
    if case == "globals":
        subprocess.run([sys.executable, "data/letters/prepare.py"], cwd=root, check=True, capture_output=True)
    if case == "functions":
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 10, 400)
        images = rng.normal(0, 0.3, (400, 1, 8, 8)).astype(np.float32)
        images[np.arange(400), 0, labels // 2, labels % 8] += 2
        (folder / "data").mkdir()
        parts = {"train_x": images[:300], "train_y": labels[:300], "test_x": images[300:], "test_y": labels[300:]}
        np.savez(folder / "data/digits.npz", **parts)
    return root


def take_default(question: Question) -> str:
    return question.default


def written(root: Path) -> str:
    repository = open_repository(root)
    return manifest_text(survey(repository, take_default, has_gpu=False), root)


def codegraft(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([CODEGRAFT, *map(str, arguments)], capture_output=True, text=True, check=False, env=env)


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_gets_its_manifest(case: str, tmp_path: Path) -> None:
    root = place(case, tmp_path)
    expected = CASES / case / "expected.toml"
    text = written(root)
    if os.environ.get("CODEGRAFT_ACCEPT"):
        expected.write_text(text)
    assert text == expected.read_text()
    (root / "codegraft.toml").write_text(text)
    target = load_target(root)
    sources = open_sources(str(root))
    assert sources.code.protected.issuperset(target.protected)
    assert next(sources.code.edits()).uri


@pytest.mark.slow
@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_reproduces_its_own_metric(case: str, tmp_path: Path) -> None:
    root = place(case, tmp_path / "repositories")
    assert codegraft("init", root, "--yes").returncode == 0
    assert_same_metric(root, tmp_path)


def assert_same_metric(root: Path, scratch: Path) -> None:
    """Run the script by hand as the manifest says, and by codegraft; both must print the same metric."""
    target = load_target(root)
    copy = shutil.copytree(root.parent, scratch / "by-hand", symlinks=True) / root.name  # with what it reads beside it
    arguments = [argument.replace("{seed}", "3") for argument in target.arguments]
    own = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, target.train, *arguments], cwd=copy, env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    by_hand = re.findall(str(target.pattern), done.stdout, re.MULTILINE)[-1]
    ran = codegraft(
        "run", root, "--allow-self-reported", "--seed", "3", "--json", XDG_CACHE_HOME=str(scratch / "cache")
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["metric"] == float(by_hand)


# --- what is printed


@pytest.mark.parametrize(
    ("source", "printed", "metric", "name", "direction"),
    [
        ("print(f'val loss {loss:.4f}')", "val loss 1.2500", 1.25, "val_loss", Direction.MINIMIZE),
        ("print(f'train loss {a:.3f}, val loss {b:.3f}')", "train loss 1.000, val loss nan", None, "val_loss", Direction.MINIMIZE),
        ("print('valid ppl {:8.2f} | x {}'.format(p, 3))", "valid ppl    99.50 | x 3", 99.5, "valid_ppl", Direction.MINIMIZE),
        ("print('test acc: %.2f%% (%d)' % (acc, n))", "test acc: 91.25% (7)", 91.25, "test_acc", Direction.MAXIMIZE),
        ("print('epoch', epoch, 'val_bpb:', bpb)", "epoch 3 val_bpb: 1.5", 1.5, "val_bpb", Direction.MINIMIZE),
        ("logger.info('eval return ' + str(r))", "INFO eval return 12.5", 12.5, "eval_return", Direction.MAXIMIZE),
        ("print('\\nTest set: Average loss: {:.4f}, Accuracy: {}/{}\\n'.format(l, c, n))",
         "\nTest set: Average loss: 0.0312, Accuracy: 98/100\n", 0.0312, "test_loss", Direction.MINIMIZE),
    ],
)  # fmt: skip
def test_a_printed_metric_is_found_and_read(
    source: str, printed: str, metric: float | None, name: str, direction: Direction, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(source + "\n")
    found = metrics_in(open_repository(tmp_path), ["train.py"])[0]
    assert (found.name, found.direction, found.is_held_out) == (name, direction, True)
    (number,) = re.findall(found.pattern, f"noise 7\n{printed}\nmore 8\n", re.MULTILINE)
    assert float(number) == metric or metric is None


def test_a_split_that_is_a_parameter_is_the_one_that_is_held_out(tmp_path: Path) -> None:
    source = "def say(split, x):\n    print('%s score: %d' % (split, x))\nsay('train', 1)\nsay('test', 2)\n"
    (tmp_path / "train.py").write_text(source)
    (found,) = metrics_in(open_repository(tmp_path), ["train.py"])
    assert re.findall(found.pattern, "train score: 9\ntest score: 8\ntrain score: 7", re.MULTILINE) == ["8"]


# --- questions and errors

TRAINING = """\
import torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(10):
    loss = model(torch.ones(3, 2)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def test_two_scripts_that_train_are_a_question(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TRAINING + "print(f'loss {loss.item()}')\n")
    (tmp_path / "b.py").write_text(TRAINING + "print(f'val loss {loss.item()}')\n")
    asked: list[Question] = []

    def choose_last(question: Question) -> str:
        asked.append(question)
        return question.choices[-1] if question.choices else question.default

    found = survey(open_repository(tmp_path), choose_last, has_gpu=False)
    assert (asked[0].name, asked[0].default, asked[0].choices) == ("train", "b.py", ("b.py", "a.py"))
    assert found.script == "a.py"
    assert "which script trains" in manifest_text(found, tmp_path)


def test_a_file_that_measures_is_frozen(tmp_path: Path) -> None:
    (tmp_path / "prepare.py").write_text("def evaluate(model):\n    return 0.5\n")
    (tmp_path / "parts.py").write_text("WIDTH = 2\n")
    source = (
        "from prepare import evaluate\nfrom parts import WIDTH\n" + TRAINING + "print(f'val_bpb: {evaluate(model)}')\n"
    )
    (tmp_path / "train.py").write_text(source)
    found = survey(open_repository(tmp_path), take_default, has_gpu=False)
    assert (found.frozen, set(found.mutable)) == (("prepare.py",), {"train.py", "parts.py"})


def test_a_training_without_a_seed_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINING + "print(f'val loss {loss.item()}')\n")
    (note,) = survey(open_repository(tmp_path), take_default, has_gpu=False).notes
    assert note.startswith("no generator is seeded")
    seeded = TRAINING.replace("model =", "torch.manual_seed(1)\nmodel =")
    (tmp_path / "train.py").write_text(seeded + "print(f'val loss {loss.item()}')\n")
    (note,) = survey(open_repository(tmp_path), take_default, has_gpu=False).notes
    assert note.startswith("train.py:2 fixes the seed (torch.manual_seed(1))")


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({}, (), "holds no Python file"),
        ({"train.py": "x = 1\n"}, (), "no script was found that trains; name the one that does with --script"),
        ({"train.py": TRAINING}, (), "prints no loss, accuracy or other measure"),
        ({"train.py": TRAINING}, ("--script", "other.py"), "--script: is 'other.py', which is no Python file below"),
        ({"train.py": TRAINING, "codegraft.toml": ""}, (), "is there; give --force to write over it"),
    ],
)
def test_what_cannot_be_brought_in_is_said_in_one_line(
    files: dict[str, str], options: Sequence[str], said: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = codegraft("init", tmp_path, *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert (tmp_path / "codegraft.toml").exists() == ("codegraft.toml" in files)


def test_nothing_of_a_repository_is_run_to_read_it(tmp_path: Path) -> None:
    trap = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
    (tmp_path / "train.py").write_text(trap + TRAINING + "print(f'val loss {loss.item()}')\n")
    (tmp_path / "codegraft.toml").write_text("")
    done = codegraft("init", tmp_path, "--yes", "--force")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()
    assert load_target(tmp_path).metric == "val_loss"


# --- tier scored, begun

LEFT_TO_DO = [  # what the manifest in `scored` says, done for the case `functions`
    ("main.py", "import numpy as np\n", "import numpy as np\nfrom safetensors.torch import save_model\n"),
    ("main.py", "class Net", "from scored.prepare import Budget, checkpoint_path, load_train, trial_seed\n\nclass Net"),
    ("main.py", "optimizer.zero_grad()\n", "if budget.progress() >= 1.0:\n            break\n        optimizer.zero_grad()\n"),
    ("main.py", "loss = F.nll_loss(model(data), target)", "output = model(data)\n        loss = F.nll_loss(output, target)"),
    ("main.py", "        optimizer.step()\n", "        optimizer.step()\n        budget.spend(output, target)\n"),
    ("main.py", "def train(", "budget = Budget()\n\n\ndef train("),
    ("main.py", 'digits("train")', "torch.utils.data.TensorDataset(*map(torch.from_numpy, load_train()))"),
    ("main.py", '    test_loader = torch.utils.data.DataLoader(digits("test"), batch_size=100)\n', ""),
    ("main.py", "range(1, args.epochs + 1)", "range(1, 1000)"),
    ("main.py", "        test(model, device, test_loader)\n", "        if budget.known >= 1.0:\n            break\n"),
    ("main.py", "    if args.save_model:\n", "    save_model(model, str(checkpoint_path()))\n    if args.save_model:\n"),
    ("scored/codegraft.toml", "amount = 1000", "amount = 40"),
    ("scored/codegraft.toml", "probes = []", 'probes = ["batch", "normalised"]'),
]  # fmt: skip
SPLIT = """
    held = np.load("../data/digits.npz")
    x, y = held["test_x"], held["test_y"]
    parts = {"heldout": slice(0, 50), "second": slice(50, 75), "final": slice(75, 100)}
    return {"train": (held["train_x"], held["train_y"]), **{name: (x[at], y[at]) for name, at in parts.items()}}
"""


def test_a_recognised_model_and_loss_begin_tier_scored(tmp_path: Path) -> None:
    root = place("functions", tmp_path)
    said = codegraft("init", root, "--yes").stdout
    assert f"tier scored: begun in {root / 'scored'}" in said
    predict = (root / "scored/predict.py").read_text()
    assert "from main import Net" in predict
    assert "    return Net()\n" in predict
    assert "Left to do" not in predict
    assert load_target(root / "scored").metric == "test_loss"
    (root / "scored/predict.py").write_text("mine")
    (root / "codegraft.toml").unlink()
    assert "stays as it is" in codegraft("init", root, "--yes").stdout
    assert (root / "scored/predict.py").read_text() == "mine"


def test_a_model_that_only_a_run_can_make_is_left_to_do(tmp_path: Path) -> None:
    root = place("globals", tmp_path)
    assert codegraft("init", root, "--yes").returncode == 0
    predict = (root / "scored/predict.py").read_text()
    assert "Left to do: `build`" in predict
    assert "make the model with the values of train.py:47" in predict
    compile(predict, "predict.py", "exec")


def test_a_metric_that_is_no_loss_begins_nothing(tmp_path: Path) -> None:
    root = place("trainer", tmp_path)
    assert "tier scored: the model or its loss was not recognised" in codegraft("init", root, "--yes").stdout
    assert not (root / "scored").exists()


@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        ("cross_entropy", [[2.0, 1.0, -3.0], [0.0, 5.0, 1.0]], [1, 1]),
        ("nll_loss", [[-0.5, -1.5, -2.0], [-3.0, -0.1, -4.0]], [2, 0]),
        ("mse_loss", [[1.0], [3.0]], [[0.5], [5.0]]),
        ("binary_cross_entropy_with_logits", [[0.3], [-2.0]], [[1.0], [0.0]]),
    ],
)
def test_a_scorer_computes_what_torch_does(
    loss: str, outputs: list[list[float]], targets: list[object], tmp_path: Path
) -> None:
    import torch  # noqa: PLC0415 - only here

    (tmp_path / "train.py").write_text(
        "import torch\nimport torch.nn.functional as F\nfrom model import Model\n"
        + TRAINING.replace("import torch\n", "")
        .replace("torch.nn.Linear(2, 1)", "Model(2)")
        .replace("pow(2).mean()", "mean()")
        + f"val_loss = F.{loss}(model(x), y).item()\nprint(f'val loss {{val_loss}}')\n"
    )
    (tmp_path / "model.py").write_text(
        "import torch\nclass Model(torch.nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
        "        self.fc = torch.nn.Linear(n, 1)\n    def forward(self, x):\n        return self.fc(x)\n"
    )
    repository = open_repository(tmp_path)
    text = stubs_of(repository, survey(repository, take_default, has_gpu=False))["scored/scorer.py"]
    space: dict[str, Callable[[object, object], np.ndarray]] = {}
    exec(text, space)
    ours = space["loss"](np.array(outputs, np.float32), np.array(targets)).mean()
    theirs = getattr(torch.nn.functional, loss)(torch.tensor(outputs), torch.tensor(targets))
    assert abs(ours - theirs.item()) < 1e-6


@pytest.mark.slow
def test_tier_scored_works_when_what_is_left_is_done(tmp_path: Path) -> None:
    root = place("functions", tmp_path)
    assert codegraft("init", root, "--yes").returncode == 0
    for file, old, new in LEFT_TO_DO:
        text = (root / file).read_text()
        assert old in text, old
        (root / file).write_text(text.replace(old, new, 1))
    prepare = re.sub(r"\n    raise NotImplementedError.*\n", SPLIT, (root / "scored/prepare.py").read_text())
    (root / "scored/prepare.py").write_text(prepare)
    done = codegraft("check", root / "scored", "--runs", "2", "--json", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["measured"]["tier"] == "scored"
    assert 0 < told["measured"]["baseline"] < 2.5  # of 2.3 for a guess
    assert told["measured"]["repeatable"]


# --- repositories that are not ours


@pytest.mark.slow
@pytest.mark.parametrize("repository", ["nanoGPT", "minGPT", "examples/mnist", "examples/word_language_model"])
def test_a_well_known_repository_reproduces_its_own_metric(repository: str, tmp_path: Path) -> None:
    """CODEGRAFT_REPOS is a folder with checkouts, and with the data that docs/your-repository.md says how to get."""
    repos = Path(os.environ.get("CODEGRAFT_REPOS", "/nonexistent"))
    if not (repos / repository).is_dir():
        pytest.skip(f"CODEGRAFT_REPOS names no folder that holds {repository}")
    whole = Path(repository).parts[0]
    shutil.copytree(repos / whole, tmp_path / "repositories" / whole, symlinks=True)
    root = tmp_path / "repositories" / repository
    assert codegraft("init", root, "--yes", "--force").returncode == 0
    by_hand = BY_HAND[repository]
    manifest = (root / "codegraft.toml").read_text()
    for old, new in by_hand:
        assert manifest.count(old) == 1, (old, manifest)
        manifest = manifest.replace(old, new)
    (root / "codegraft.toml").write_text(manifest)
    assert_same_metric(root, tmp_path)


# What is edited by hand, so that a run takes seconds: old and new text of a line of the manifest.
BY_HAND: dict[str, list[tuple[str, str]]] = {
    "nanoGPT": [('"--max_iters=2000"', '"--max_iters=250"')],
    "minGPT": [],
    "examples/mnist": [('["--seed={seed}"]', '["--seed={seed}", "--epochs=1"]')],
    "examples/word_language_model": [('"--epochs", "6"', '"--epochs", "1"')],
}
