"""What the README shows is run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from bench.targets_table import rows
from targets.manifest import load_target

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_library_example_runs_and_changes_three_files():
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "legal edits" in done.stdout
    assert re.findall(r"^--- a/(.*)$", done.stdout, re.MULTILINE) == ["config.py", "layers.py", "model.py"]


def test_the_manifest_of_the_readme_is_a_valid_one(tmp_path):
    manifest = re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1]
    (tmp_path / "codegraft.toml").write_text(manifest)
    for name in ("model", "optim", "train"):
        (tmp_path / f"{name}.py").write_text("")
    for name, function in (("prepare", "prepare"), ("predict", "load"), ("scorer", "score")):
        (tmp_path / f"{name}.py").write_text(f"def {function}(): ...\n")
    assert load_target(tmp_path).budget.amount == 600


def test_the_verbs_of_the_readme_are_the_verbs_of_the_command_line():
    help_text = subprocess.run(
        [Path(sys.executable).with_name("codegraft"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"^  (\w+) +\S", help_text.partition("Commands:")[2].partition("\n\n")[0], re.MULTILINE)
    assert re.findall(r"^\| `codegraft (\w+)", README, re.MULTILINE) == commands


def test_the_table_of_targets_is_that_of_their_manifests():
    assert "\n".join(rows()) in README


def test_the_picture_of_the_readme_is_there():
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).stat().st_size > 10_000
