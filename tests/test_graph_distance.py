"""What a distance is for: nothing for cosmetic edits, more for the larger step. The source has the shapes of karpathy/autoresearch."""

import json
import random
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.build import build_graph
from graph.complexity import _count_unit, complexity
from graph.features import Features, _count_module, _count_units, breakdown, displacement, distance, features, norm
from graph.reader import count_unit
from graph.snapshot import Snapshot, python_files, read_snapshot
from graph.units import _block_ends, _known, _names, _paths, _read_module, _read_unit, tree_of
from harness.cli import commands
from mutator.edit import EditError
from mutator.shipped import default_grammar

TARGETS = Path(__file__).parent.parent / "targets"

SOURCE = '''
"""Train a small transformer."""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F

DEPTH = 8
ASPECT = 64
WARMUP = 0.1
LR = 0.04


def normed(x):
    return F.rms_norm(x, (x.size(-1),))


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.c_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        x = self.c_fc(x)
        x = F.relu(x).square()
        x = self.c_proj(x)
        return x


class Block(nn.Module):
    def __init__(self, width, index):
        super().__init__()
        self.scale = 1 / math.sqrt(index + 1)
        self.mlp = MLP(width)

    def forward(self, x):
        branch = self.mlp(normed(x))
        x = x + self.scale * branch
        return x


class GPT(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.wte = nn.Embedding(256, depth * ASPECT)
        self.blocks = nn.ModuleList([Block(depth * ASPECT, i) for i in range(depth)])
        self.head = nn.Linear(depth * ASPECT, 256, bias=False)

    def forward(self, idx, targets):
        x = self.wte(idx)
        for block in self.blocks:
            x = block(x)
        logits = self.head(normed(x))
        logits = 15 * torch.tanh(logits / 15)
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


def multiplier(progress):
    if progress < WARMUP:
        return progress / WARMUP
    elif progress < 0.5:
        return 1.0
    else:
        cooldown = (1.0 - progress) / 0.5
        return cooldown * 1.0 + (1 - cooldown) * 0.1


model = GPT(depth=DEPTH)
optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.8, 0.95))
n_params = sum(p.numel() for p in model.parameters())
tokens = torch.randint(256, (8, 33))
for step in range(100):
    loss = model(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = LR * multiplier(step / 100)
    optimizer.step()
    model.zero_grad(set_to_none=True)
    print(f"{step} {loss.item():.4f}")
'''

COUNTING = "n_params = sum(p.numel() for p in model.parameters())"
DROPOUT = "x = F.dropout(x, 0.1, self.training)"
CLIP = "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"

# Name -> (the cosmetic edit, the edit beside it that is none), each as replacements (old, new); "*" replaces all.
COSMETIC = {
    "a comment": (
        [("    loss.backward()", "    # loss = loss * 2\n    loss.backward()")],
        [("    loss.backward()", "    loss = loss * 2\n    loss.backward()")],
    ),
    "blank lines": ([("LR = 0.04\n", "LR = 0.04\n\n\n")], [("LR = 0.04\n", "LR = 0.04; LR = 0\n")]),
    "a docstring": (
        [("def normed(x):\n", 'def normed(x):\n    """x = F.dropout(x)"""\n')],
        [("def normed(x):\n", "def normed(x):\n    x = F.dropout(x)\n")],
    ),
    "a local": ([("branch", "residual", "*")], [("self.scale * branch", "self.scale * x")]),
    "a variable of the module": ([("WARMUP", "WARMUP_RATIO", "*")], [("progress < WARMUP", "progress < 1")]),
    "a function": ([("normed", "norm", "*")], [("branch = self.mlp(normed(x))", "branch = self.mlp(x)")]),
    "an import alias": (
        [(" as F\n", " as functional\n"), ("F.", "functional.", "*")],
        [("import torch.nn.functional as F", "import torch.special as F")],
    ),
    "a product": (
        [("self.scale * branch", "branch * self.scale")],
        [("(1.0 - progress)", "(progress - 1.0)")],
    ),
    "two independent statements": (
        [("\nn_params = sum(p.numel() for p in model.parameters())", ""), (" (8, 33))", f" (8, 33))\n{COUNTING}")],
        [("    loss.backward()\n", ""), ("    loss = model(", "    loss.backward()\n    loss = model(")],
    ),
}

# Name -> (the edit, what looks like it and is none).
REAL = {
    "a literal": ([("0.04", "0.4")], [("0.04", "4e-2")]),
    "the depth": ([("DEPTH = 8", "DEPTH = 12")], [("DEPTH", "N_LAYERS", "*")]),
    "an operator": (
        [("LR * multiplier(step / 100)", "LR / multiplier(step / 100)")],
        [("LR * multiplier(step / 100)", "multiplier(step / 100) * LR")],
    ),
    "a loop around a step": (
        [("    optimizer.step()\n", "    for _ in range(2):\n        optimizer.step()\n")],
        [("    optimizer.step()\n", "    # for _ in range(2):\n    optimizer.step()\n")],
    ),
    "a dropout": (
        [("        x = self.c_proj(x)\n", f"        x = self.c_proj(x)\n        {DROPOUT}\n")],
        [("        return x\n\n\nclass Block", f"        return x\n        {DROPOUT}\n\n\nclass Block")],
    ),
    "a gradient clip": (
        [("    loss.backward()\n", f"    loss.backward()\n    {CLIP}\n")],
        [("    loss.backward()\n", f"    loss.backward()\n    '{CLIP}'\n")],
    ),
    "no warm-up": (
        [("    if progress < WARMUP:\n        return progress / WARMUP\n    elif", "    if")],
        [("progress", "fraction", "*")],
    ),
    "another activation": (
        [("F.relu(x).square()", "F.gelu(x)")],
        [("F.relu(x).square()", "torch.nn.functional.relu(x).square()")],
    ),
}


def edited(*replacements: tuple[str, ...]) -> str:
    text = SOURCE
    for old, new, *everywhere in replacements:
        assert text.count(old) == 1 or (everywhere and old in text), old
        text = text.replace(old, new)
    return text


def moved(text: str) -> float:
    return distance(*(features({"train.py": each.encode()}) for each in (SOURCE, text)))


@pytest.mark.parametrize("name", COSMETIC)
def test_a_cosmetic_edit_is_no_step_and_the_edit_beside_it_is_one(name):
    cosmetic, other = (edited(*each) for each in COSMETIC[name])
    assert cosmetic != SOURCE != other
    assert moved(cosmetic) == 0.0
    assert moved(other) > 0.0


@pytest.mark.parametrize("name", REAL)
def test_a_real_edit_is_a_step_and_what_looks_like_it_is_none(name):
    real, other = (edited(*each) for each in REAL[name])
    assert real != SOURCE != other
    assert moved(real) > 0.0
    assert moved(other) == 0.0


def test_a_literal_inside_its_half_octave_is_no_step():
    assert moved(edited(("0.04", "0.05"))) == 0.0


LEVELS = [
    ["a literal", "the depth"],
    ["an operator"],
    ["a loop around a step"],
    ["a dropout", "no warm-up"],
    ["a gradient clip", "another activation"],
]


def test_larger_steps_are_further():
    steps = [[moved(edited(*REAL[name][0])) for name in level] for level in LEVELS]
    assert sorted(name for level in LEVELS for name in level) == sorted(REAL)
    assert all(max(nearer) < min(further) for nearer, further in pairwise(steps))


def test_the_breakdown_adds_up_and_names_what_changed():
    a, b = (features({"train.py": text.encode()}) for text in (SOURCE, edited(*REAL["another activation"][0])))
    parts = breakdown(a, b)
    assert sum(map(norm, parts.values())) == pytest.approx(distance(a, b))
    assert [*parts] == sorted(parts, key=lambda category: -norm(parts[category]))
    assert parts["call"]["torch.nn.functional.gelu"] > 0 > parts["call"]["torch.nn.functional.relu"]
    assert {c: {k: -v for k, v in steps.items()} for c, steps in parts.items()} == {
        c: dict(steps) for c, steps in breakdown(b, a).items()
    }
    assert breakdown(a, a) == {}


# --- programs that real edits make ---------------------------------------------------------------------------------------------------

N_VERSIONS = 24
CACHES = (
    *(_block_ends, _known, _names, _paths, _read_module, _read_unit, tree_of),
    *(_count_module, _count_units, _count_unit, count_unit),
)


@cache
def versions() -> list[Snapshot]:
    """Walk over a target by legal edits of all kinds: each version is one edit away from one that was there."""
    rng, grammar = random.Random(1), default_grammar()
    kinds = [kind.name for kind in grammar.kinds]
    graphs = [build_graph(read_snapshot(TARGETS / "bytelm", python_files(TARGETS / "bytelm")))]
    while len(graphs) < N_VERSIONS:
        graph = rng.choice(graphs)
        edits = tuple(grammar.only(rng.choice(kinds)).edits(graph))
        with suppress(EditError):  # what cannot be planned is no version
            if edits:
                graphs.append(build_graph(grammar.apply(graph, rng.choice(edits)), previous=graph))
    return [graph.snapshot for graph in graphs]


@pytest.fixture(scope="module")
def walked() -> None:
    """Make the versions before the clock of an example runs."""
    versions()


@cache
def counted(index: int) -> Features:
    return features(versions()[index].files)


VERSION = st.integers(0, N_VERSIONS - 1)


@pytest.mark.usefixtures("walked")
@settings(deadline=None)  # the first call of a version reads it
@given(VERSION, VERSION, VERSION)
def test_the_distance_of_edited_programs_is_a_pseudo_metric(first, second, third):
    a, b, c = map(counted, (first, second, third))
    assert distance(a, a) == 0.0
    assert distance(a, b) == distance(b, a) >= 0.0
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-9


@pytest.mark.usefixtures("walked")
@settings(deadline=None)  # the first call of a version reads it
@given(VERSION, VERSION, VERSION)
def test_the_distance_of_displacements_is_that_of_programs(first, second, third):
    a, b, base = map(counted, (first, second, third))
    places = displacement(a, base), displacement(b, base)
    apart = {name: places[0].get(name, 0.0) - places[1].get(name, 0.0) for name in {*places[0], *places[1]}}
    assert norm(apart) == pytest.approx(distance(a, b), abs=1e-9)
    assert sum(map(norm, breakdown(a, b).values())) == pytest.approx(distance(a, b), abs=1e-9)


def test_edits_lie_near_and_at_many_places():
    steps = [distance(counted(0), counted(index)) for index in range(N_VERSIONS)]
    assert steps[0] == 0.0
    assert 0.0 < max(steps) < 60.0
    assert len({round(step, 6) for step in steps}) > N_VERSIONS // 2


def test_what_edits_leave_is_counted_as_from_scratch():
    warm = [(features(s.files), complexity(s.files)) for s in versions()]
    for snapshot, expected in zip(versions(), warm, strict=True):
        for cache_ in CACHES:
            cache_.cache_clear()
        assert (features(snapshot.files), complexity(snapshot.files)) == expected


# --- codegraft distance ---------------------------------------------------------------------------------------------------------------


def say(*arguments: str) -> str:
    done = CliRunner().invoke(commands, ["distance", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_says_how_far_and_why(tmp_path):
    (tmp_path / "a.py").write_text(SOURCE)
    (tmp_path / "b.py").write_text(edited(*REAL["another activation"][0]))
    a, b = str(tmp_path / "a.py"), str(tmp_path / "b.py")
    # One file has another name than the other: what counts is what is in them.
    assert say(a, a).startswith("distance    0.00\nprogram     the same")
    plain, why = say(a, b), say(a, b, "--why")
    assert why.startswith(plain.rstrip())
    assert "torch.nn.functional.gelu" in why
    value = json.loads(say(a, b, "--json"))
    assert value["distance"] == pytest.approx(moved(edited(*REAL["another activation"][0])))
    assert value["b"]["complexity"]["nodes"] < value["a"]["complexity"]["nodes"]
    assert value["a"]["radon"] == value["b"]["radon"] > 0
    assert not value["same"]


def test_what_is_frozen_in_one_program_is_left_out():
    assert say("bytelm", str(TARGETS / "bytelm")).startswith("distance    0.00")


def test_one_program_alone_is_asked_for_another(tmp_path):
    done = CliRunner().invoke(commands, ["distance", str(TARGETS / "toy")])
    assert done.exit_code == 2
    assert "name a second program" in done.output
