"""Sixteen ways to tell the budget or the metric, and no edit that is offered changes one of them."""

import pytest

from graph.snapshot import Snapshot
from mutator.code import Code
from mutator.shipped import default_grammar

PREPARE = """\
TIME_BUDGET = 20.0
LIMITS = {'seconds': 20.0}
class Budget:
    def progress(self): ...
    def spend(self, n): ...
def load(): ...
def evaluate(m): ...
"""
TRAIN = {
    "const": """\
import time
from prepare import TIME_BUDGET
limit = TIME_BUDGET * 1.5
t0 = time.time()
while time.time() - t0 < limit:
    pass
""",
    "getattr": """\
import time, prepare
limit = getattr(prepare, 'TIME_BUDGET') * 1.5
t0 = time.time()
while time.time() - t0 < limit:
    pass
""",
    "dict": """\
import time
from prepare import LIMITS
cfg = {'limit': LIMITS['seconds'] * 1.5}
t0 = time.time()
while time.time() - t0 < cfg['limit']:
    pass
""",
    "deadline": """\
import time
from prepare import TIME_BUDGET
limit = TIME_BUDGET
end = time.time() + limit * 1.5
while time.time() < end:
    pass
""",
    "return": """\
import time
from prepare import TIME_BUDGET
def out(start):
    return time.time() - start < TIME_BUDGET * 1.5
t0 = time.time()
while out(t0):
    pass
""",
    "assign": """\
import time
from prepare import TIME_BUDGET
t0 = time.time()
running = True
while running:
    running = time.time() - t0 < TIME_BUDGET * 1.5
""",
    "spend": """\
from prepare import Budget
budget = Budget()
n = 1.5
while budget.progress() < 1.0:
    cost = n * 2.5
    budget.spend(cost)
""",
    "heir": """\
from prepare import Budget
class B(Budget):
    scale = 1.5
    def spend(self, n):
        super().spend(n * self.scale)
budget = B()
while budget.progress() < 1.0:
    budget.spend(1)
""",
    "log": """\
from prepare import evaluate
class Log:
    def __init__(self):
        self.scale = 1.5
    def show(self, v):
        print(f'val: {v * self.scale:.6f}')
log = Log()
log.show(evaluate(1))
""",
    "param": """\
import time
from prepare import TIME_BUDGET
def train(limit):
    t0 = time.time()
    while time.time() - t0 < limit:
        pass
train(TIME_BUDGET * 1.5)
""",
    "default": """\
import time
def train(limit=20.5):
    t0 = time.time()
    while time.time() - t0 < limit:
        pass
train()
""",
    "attr": """\
import time
from prepare import TIME_BUDGET
class Run:
    limit = TIME_BUDGET * 1.5
    def go(self):
        t0 = time.time()
        while time.time() - t0 < self.limit:
            pass
Run().go()
""",
    "star": """\
import time
from prepare import *
limit = TIME_BUDGET * 1.5
t0 = time.time()
while time.time() - t0 < limit:
    pass
""",
    "dataclass": """\
import time
from dataclasses import dataclass
from prepare import TIME_BUDGET
@dataclass
class C:
    limit: float = TIME_BUDGET * 1.5
c = C()
t0 = time.time()
while time.time() - t0 < c.limit:
    pass
""",
    "property": """\
import time
from prepare import TIME_BUDGET
class C:
    @property
    def limit(self):
        return TIME_BUDGET * 1.5
c = C()
t0 = time.time()
while time.time() - t0 < c.limit:
    pass
""",
    "closure": """\
import time
from prepare import TIME_BUDGET
def make():
    limit = TIME_BUDGET * 1.5
    def over(t0):
        return time.time() - t0 > limit
    return over
over = make()
t0 = time.time()
while not over(t0):
    pass
""",
}


@pytest.mark.parametrize("way", TRAIN)
def test_no_offered_edit_buys_training_or_forges_what_is_printed(way):
    sources = Snapshot({"prepare.py": PREPARE.encode(), "train.py": TRAIN[way].encode()}, frozenset({"prepare.py"}))
    code = Code.of(sources)
    assert list(default_grammar().edits(code.graph)), "without protection there is something to edit"
    assert [edit.uri for edit in code.edits()] == []


def test_what_the_training_reads_as_well_stays_editable():
    train = (
        "import time\nfrom prepare import TIME_BUDGET, load\nimport torch\nlr = 0.5\nbatch = 64\ndata = load()\n"
        "model = torch.nn.Linear(8, 8)\nopt = torch.optim.SGD(model.parameters(), lr=lr)\nstart = time.time()\n"
        "while time.time() - start < TIME_BUDGET:\n    progress = (time.time() - start) / TIME_BUDGET\n"
        "    opt.param_groups[0]['lr'] = lr * (1 - 0.25 * progress)\n    model(data[:batch]).sum().backward()\n    opt.step()\n"
    )
    code = Code.of(Snapshot({"prepare.py": PREPARE.encode(), "train.py": train.encode()}, frozenset({"prepare.py"})))
    sites = {edit.site for edit in code.edits("scale-literal", "set-literal")}
    assert "train:/literal.lr" in sites
    assert any("literal" in site and site != "train:/literal.lr" for site in sites)


def test_an_heir_of_a_frozen_class_takes_no_edit():
    train = "from prepare import Budget\nclass B(Budget):\n    def spend(self, n, by=0.5):\n        y = 2.5 * n\n        super().spend(y)\n"
    code = Code.of(Snapshot({"prepare.py": PREPARE.encode(), "train.py": train.encode()}, frozenset({"prepare.py"})))
    assert list(default_grammar().edits(code.graph))
    assert [edit.uri for edit in code.edits()] == []


def test_a_declared_function_is_protected_whole_also_below_an_if():
    source = b"if __name__ == '__main__':\n    def measure(x):\n        return x * 0.5\n    lr = 0.1\n"
    code = Code.of(Snapshot({"train.py": source}), protected=["train:measure"])
    assert "train:measure" in code.protected
    assert {edit.site for edit in code.edits("scale-literal")} == {"train:/literal.lr"}
