"""Kinds of one's own: the documentation runs, patterns match what they say, and a skeleton works as it is written."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from graph.snapshot import Snapshot
from mutator import shipped
from mutator.code import Code
from mutator.declare import rewrite
from mutator.edit import EditError
from mutator.grammar import Grammar
from mutator.kind import EditKind, Example, Family

ROOT = Path(__file__).parents[1]


def test_every_block_of_the_page_about_own_kinds_runs(capsys):
    text = (ROOT / "docs/write-an-edit-kind.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, "docs", "exec"), names)
    assert len(blocks) == 4
    assert "+    return torch.sigmoid(scores.float())" in capsys.readouterr().out


def kind(pattern, to="$x", name="swap-thing"):
    return rewrite(name, "What.\n\nWhy.", family=Family.CALL, pattern=pattern, to=to, examples=())


def edited(rule, text):
    code = Code.of(Snapshot({"a.py": text.encode()})).using(Grammar((rule,)))
    edits = list(code.edits())
    return [code.apply(edit).snapshot.files["a.py"].decode() for edit in edits]


@pytest.mark.parametrize(
    ("pattern", "to", "text", "results"),
    [
        ("max($x, 0)", "abs($x)", "y = max(a - b, 0)\n", ["y = abs(a - b)\n"]),
        ("max($x, 0)", "$x", "y = 2 * max(a - b, 0)\n", ["y = 2 * (a - b)\n"]),
        ("max($x, 0)", "abs($x)", "max = f\ny = max(a, 0)\n", []),
        ("$x * $n:number", "$x", "y = a * 2\nz = a * b\n", ["y = a\nz = a * b\n"]),
        ("$x + $x", "2 * $x", "y = (a.b) + (a.b)\nz = a + b\n", ["y = 2 * a.b\nz = a + b\n"]),
        ("torch.exp($x)", "torch.expm1($x)", "from torch import exp\ny = exp(x)\n", None),
        ("f($x, b=$b, a=$a)", "g($a, $b)", "y = f(0, a=1, b=2)\n", []),
        ("$f:call + $v:name", "$v", "y = f(1) + b\nz = b + f(1)\n", ["y = b\nz = b + f(1)\n"]),
    ],
)
def test_a_pattern_matches_what_it_says_and_nothing_else(pattern, to, text, results):
    found = edited(kind(pattern, to), text)
    if results is None:
        assert len(found) == 1
        assert "expm1(x)" in found[0]
    else:
        assert found == results


@pytest.mark.parametrize(
    ("pattern", "to", "says"),
    [
        ("f($x", "$x", "is no expression"),
        ("$x", "$x", "is no pattern of a call"),
        ("f($x)", "$y", "uses \\$y, which"),
        ("f($x:text)", "$x", "a hole of the sort text; choose one of any, int"),
    ],
)
def test_a_wrong_pattern_is_refused_in_one_line(pattern, to, says):
    with pytest.raises(EditError, match=says):
        kind(pattern, to)


def test_a_new_kind_works_as_it_is_written(tmp_path):
    command = [sys.executable, "-c", "from harness.cli import main; main()", "kinds", "--new", "swap-my-pooling"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_swap_my_pooling.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode != 0
    assert again.stderr.strip() == "codegraft: swap_my_pooling.py: is there already; choose another name or folder"


def test_a_new_kind_takes_no_name_that_is_taken(tmp_path):
    command = [sys.executable, "-c", "from harness.cli import main; main()", "kinds", "--new", "swap-norm"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr.strip() == "codegraft: swap-norm: is the name of a kind that is there already; choose another one"
    )
    assert list(tmp_path.iterdir()) == []


MINE = kind("f($x)", name="swap-mine")


@pytest.mark.parametrize(
    ("value", "says"),
    [("test_mutator_declare:MINE", ""), ("math:pi", "is no EditKind"), ("math:none", "cannot be loaded")],
)
def test_an_installed_package_adds_kinds(monkeypatch, value, says):
    monkeypatch.setitem(sys.modules, "test_mutator_declare", sys.modules[__name__])
    found = [EntryPoint("swap-mine", value, shipped.GROUP)]
    monkeypatch.setattr(shipped, "entry_points", lambda group: found if group == shipped.GROUP else [])
    if says:
        with pytest.raises(EditError, match=says):
            shipped.default_grammar.__wrapped__()
    else:
        grammar = shipped.default_grammar.__wrapped__()
        assert isinstance(grammar.kind("swap-mine"), EditKind)
        with pytest.raises(EditError, match="is in both grammars"):
            _ = grammar + Grammar((MINE,))


def test_examples_and_refusals_are_told_apart():
    rule = rewrite(
        "a-b", "c", family=Family.CALL, pattern="f($x)", to="$x", examples=[Example({}, "a-b@a:/call.f", {})]
    )
    assert len(rule.examples) == 1
    assert rule.refusals == ()
