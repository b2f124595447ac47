"""Kinds that preserve behaviour: the program prints the same before and after each of their edits."""

import contextlib
import io
import itertools
import runpy
import sys

import pytest

from graph.build import build_graph
from graph.snapshot import Snapshot
from mutator.shipped import default_grammar

_ORDER = """
import torch

LOG = []


def note(x):
    LOG.append(x)
    return x


def mix(a, b, f=0.25):
    return f * a + (1 - f) * b


def late(a, b):
    return note(b) - a


def {name}(xs, scale):
    first = torch.tensor(xs) * scale
    {trailing}total = torch.zeros(())

    # a paragraph of its own
    for x in first:
        {body}
    last = torch.exp(-total)  # small

    kept = {kept}

    return total * mix(last, kept, {factor}) + mix(b=last, a=note(0.5)) * 0.75


print({name}([1.0, 2.0, 3.0], 0.5).item(), late(note(1.0), 2.0), LOG)
"""
_BODIES = ("total = total + x", "total += x * 1.5", "if x > 0.6:\n            total = total + 0.25 * x")
_KEPTS = ("note(2.5)", "[total for _ in range(2)][0]", "sum(0.125 * x for x in first)")
_FACTORS = ("0.3", "note(0.3)", "f=scale")
_METHODS = """
import torch
from dataclasses import dataclass
from torch import nn
import torch.nn.functional as F

torch.manual_seed(0)


@dataclass
class Config:
    width: int = 8


def norm(x):
    return F.rms_norm(x, (x.size(-1),), eps=1e-5)


class MLP(nn.Module):
    def __init__(self, config, depth):
        super().__init__()
        self.up = nn.Linear(config.width, 3 * config.width)
        self.down = nn.Linear(3 * config.width, config.width)
        self.scale = depth**-0.5

    def gate(self, x, by):
        return torch.sigmoid(x * self.scale) * by

    def forward(self, x):
        h = self.up(norm(x))  # (T, 3 * C)
        h = F.leaky_relu(h, 0.02)

        # gated
        h = self.gate(h, 2.5)
        y = self.down(h)

        return x + 0.5 * y


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.mlp = MLP(config, 4)

    def forward(self, x):
        for _ in range(2):
            x = x + 0.1 * self.mlp(x)
            y = torch.tanh(x)

            # used in the next turn
            x = torch.where(x > 0.3, x, y)
            x = x * 0.9

        return norm(x)


block = Block(Config())
print(block(torch.linspace(-1, 1, 16).view(2, 8)).sum(1).tolist())
"""
_PROGRAMS = [
    _ORDER.format(name="f", trailing="", body=body, kept=kept, factor=factor)
    for body, kept, factor in itertools.product(_BODIES, _KEPTS, _FACTORS)
] + [_METHODS]


def _printed(files, folder, monkeypatch):
    for path, data in files.items():
        (folder / path).write_bytes(data)
    monkeypatch.syspath_prepend(str(folder))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(folder / "main.py"), run_name="__main__")
    for path in files:
        sys.modules.pop(path.removesuffix(".py"), None)
    return out.getvalue()


def _edited(sources):
    """Yield (edit, files after it) for each edit of a kind that preserves."""
    graph = build_graph(Snapshot(sources))
    preserving = [kind.name for kind in default_grammar().kinds if kind.preserves]
    grammar = default_grammar().only(*preserving)
    for edit in grammar.edits(graph):
        yield edit, grammar.apply(graph, edit).files


@pytest.mark.parametrize("source", _PROGRAMS, ids=range(len(_PROGRAMS)))
def test_edit_that_preserves_prints_the_same(source, tmp_path, monkeypatch):
    sources = {"main.py": source.encode()}
    before = _printed(sources, tmp_path, monkeypatch)
    kinds = set()
    for edit, files in _edited(sources):
        assert _printed(files, tmp_path, monkeypatch) == before, edit.uri
        kinds.add(edit.kind)
    wanted = {"hoist-literal", "inline-function", "extract-function"}
    assert (
        wanted - ({"inline-function"} if "note(0.3)" in source else set()) <= kinds
    )  # its arguments have effects, and stay in order


_SEVERAL = {
    "config.py": b"from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    width: int = 8\n    rate: float = 0.5\n",
    "layers.py": b"""\
import torch.nn.functional as F
from torch import nn

from config import Config


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        return F.leaky_relu(x, 0.02) * 1.25


class Block(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        self.mlp = MLP(cfg.width)

    def forward(self, x):
        return x + 0.3 * self.mlp(x)
""",
    "main.py": b"""\
import torch

from config import Config
from layers import Block

state = {"width": 4}
cfg = Config(**state)
print(Block(cfg)(torch.linspace(-1, 1, cfg.width)).tolist(), Block(Config())(torch.ones(3)).tolist())
""",
}


def test_edit_over_several_files_that_preserves_prints_the_same(tmp_path, monkeypatch):
    before = _printed(_SEVERAL, tmp_path, monkeypatch)
    kinds = set()
    for edit, files in _edited(_SEVERAL):
        assert _printed(files, tmp_path, monkeypatch) == before, edit.uri
        kinds.add(edit.kind)
    assert "thread-parameter" in kinds
