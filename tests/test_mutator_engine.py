"""Legal edits on a real target: all of them apply, none leaves its place, and what is refused says why."""

import subprocess

import pytest

from graph.build import build_graph
from graph.snapshot import Snapshot
from harness.sources import open_sources
from mutator.code import Code
from mutator.edit import SiteGone, parse_edit
from mutator.grammar import Grammar
from mutator.kind import Family, Reason, Refused
from mutator.kinds.scale_literal import ScaleLiteral
from mutator.patch import Replacement, make_patch
from mutator.protect import protected_slots
from mutator.shipped import default_grammar
from mutator.testing import check_properties
from mutator.verify import verify

BYTELM, TOY = open_sources("bytelm"), open_sources("toy")


def graph_of(text):
    return build_graph(Snapshot({"a.py": text.encode() if isinstance(text, str) else text}))


def edit_of(uri):
    return parse_edit(uri)


@pytest.mark.parametrize("kind", [kind.name for kind in default_grammar().kinds])
@pytest.mark.parametrize("code", [BYTELM.code, TOY.code], ids=["bytelm", "toy"])
def test_every_legal_edit_holds_every_property(code, kind):
    assert check_properties(code, kind, at_most=24) >= 0


def test_bytelm_has_edits_of_most_kinds_and_of_every_family():
    grammar = default_grammar()
    kinds = {edit.kind for edit in BYTELM.code.edits()}
    assert len(kinds) >= 36
    assert {grammar.kind(name).family for name in kinds} == set(Family)


def test_no_edit_touches_a_frozen_file_or_a_protected_statement():
    spans = {slot: BYTELM.graph.nodes[slot] for slot in BYTELM.protected}
    for edit in default_grammar().edits(BYTELM.graph, protected=BYTELM.protected):
        patch = default_grammar().plan(BYTELM.graph, edit, protected=BYTELM.protected)
        assert not set(patch.paths) & BYTELM.snapshot.frozen
        for path, replacements in patch.files:
            for node in spans.values():
                assert node.path != path or all(r.end <= node.start or r.start >= node.end for r in replacements), (
                    edit.uri
                )


def test_the_budget_and_the_seed_of_bytelm_are_protected():
    texts = [BYTELM.graph.text(BYTELM.graph.nodes[slot]) for slot in BYTELM.protected]
    assert any("seed" in text for text in texts)
    assert any("progress" in text for text in texts)


def test_threading_a_parameter_changes_three_files_in_one_edit():
    edits = list(default_grammar().only("thread-parameter").edits(BYTELM.graph, protected=BYTELM.protected))
    patches = [default_grammar().plan(BYTELM.graph, edit, protected=BYTELM.protected) for edit in edits]
    assert any(patch.paths == ("config.py", "layers.py", "model.py") for patch in patches)


def test_the_diff_of_an_edit_can_be_applied_and_taken_back_by_git(tmp_path):
    edit = next(e for e in default_grammar().only("thread-parameter").edits(BYTELM.graph, protected=BYTELM.protected))
    patch = default_grammar().plan(BYTELM.graph, edit, protected=BYTELM.protected)
    for path, data in BYTELM.snapshot.files.items():
        (tmp_path / path).write_bytes(data)
    diff = patch.unified_diff(BYTELM.snapshot.files)
    for flags in ([], ["-R"]):
        subprocess.run(["git", "apply", *flags, "-"], cwd=tmp_path, input=diff.encode(), check=True)
        wanted = BYTELM.snapshot.files if flags else {**BYTELM.snapshot.files, **patch.apply(BYTELM.snapshot.files)}
        assert {path: (tmp_path / path).read_bytes() for path in wanted} == dict(wanted)


def test_an_edit_finds_its_site_after_others_were_inserted_before_it():
    old = graph_of("def f(x):\n    y = 0.5 * x\n    return y\n")
    edit = next(e for e in Grammar((ScaleLiteral(),)).edits(old) if e.choice == (("by", 2.0),))
    new = graph_of("def f(x):\n    y = 0.1 * x\n    y = 0.5 * x\n    return y\n")
    assert "y = 1.0 * x" in Grammar((ScaleLiteral(),)).apply(new, edit).files["a.py"].decode()


def test_a_site_whose_own_statement_changed_is_gone_and_never_edited_blindly():
    edit = next(iter(default_grammar().only("scale-literal").edits(graph_of("lr = 0.5\n"))))
    with pytest.raises(SiteGone, match="has changed"):
        default_grammar().apply(graph_of("lr = 0.25\n"), edit)
    with pytest.raises(SiteGone, match="is not in the sources"):
        default_grammar().apply(graph_of("rate = 0.25\n"), edit)


def test_a_person_may_name_the_unit_when_it_has_one_site():
    uri = "swap-optimizer@optim:build_optimizer?lr_scale=1.0&to=Adam"
    assert (
        "torch.optim.Adam("
        in default_grammar().apply(BYTELM.graph, parse_edit(uri), protected=BYTELM.protected).files["optim.py"].decode()
    )


@pytest.mark.parametrize(
    ("text", "uri", "before", "after"),
    [
        (b"def f():\r\n    x = 1.5  # keep\r\n", "scale-literal@a:f/literal.x?by=2.0", b"1.5", b"3.0"),
        (b"\xef\xbb\xbfx = 1.5\n", "scale-literal@a:/literal.x?by=2.0", b"1.5", b"3.0"),
        ("ä = 'ü'; x = 1.5\n".encode(), "scale-literal@a:/literal.x?by=2.0", b"1.5", b"3.0"),
        (b"class A:\n\tx = 1.5\n\n\n# end", "scale-literal@a:A/literal.x?by=2.0", b"1.5", b"3.0"),
    ],
    ids=["crlf", "bom", "wide characters", "tabs and no last newline"],
)
def test_every_other_byte_stays(text, uri, before, after):
    assert default_grammar().apply(graph_of(text), edit_of(uri)).files["a.py"] == text.replace(before, after)


def test_an_insertion_that_shares_its_line_is_refused():
    text = "import torch\nopt = torch.optim.SGD(ps)\nloss.backward(); opt.step()\n"
    with pytest.raises(Refused) as refused:
        default_grammar().apply(graph_of(text), edit_of("insert-grad-clip@a:/stmt.step?by=norm&max=1.0"))
    assert refused.value.reason is Reason.SHARED_LINE


def test_the_verifier_refuses_each_thing_that_breaks_code():
    graph = graph_of("import os\n\n\ndef f(x):\n    return os.sep + x  # why\n")
    start = graph.snapshot.files["a.py"].index(b"return")
    for old, new, why in [
        (b"return os.sep + x", b"return (", "does not compile"),
        (b"return os.sep + x", b"return sys.sep", "leaves sys unbound"),
        (b"return os.sep + x  # why", b"return os.sep + x", "lose a comment"),
        (b"os", b"x if x else os", "around it"),
    ]:
        at = start + b"return os.sep + x".index(old) if old in b"return os.sep + x" else start
        with pytest.raises(Refused, match=why):
            verify(graph, make_patch([("a.py", Replacement(at, old, new))]))


PREPARE = "N = 600\nBUDGET = 1.0\ndef grant(n): ...\ndef load(): ...\n"


@pytest.mark.parametrize(
    ("train", "spared"),
    [
        ("from prepare import grant\nwhile grant(0.5):\n    pass\n", "grant(0.5)"),
        ("from prepare import BUDGET\nt = 0.5 * 2.5\nif t >= BUDGET:\n    t = 3.5\n", "t = 0.5 * 2.5"),
        ("from prepare import BUDGET\nt = 0.5 * 2.5\nif t >= BUDGET:\n    t = 3.5\n", "t >= BUDGET"),
        ("from prepare import grant\ni = 0.5\nwhile i < 600.5:\n    if not grant(1):\n        break\n", "i < 600.5"),
        ("import prepare\nprepare.N = 600.5\n", "prepare.N = 600.5"),
        ("import torch\nSEED = 1337\ndef main():\n    torch.manual_seed(SEED)\n", "SEED = 1337"),
        ("import numpy as np\nrng = np.random.default_rng(1337.5)\n", "1337.5"),
        ("from prepare import grant\n@grant(600.5)\ndef f(x):\n    return x\n", "grant(600.5)"),
        ("from prepare import grant\nwith grant(600.5) as b:\n    x = 2.5\n", "grant(600.5)"),
    ],
)
def test_what_holds_budget_or_seed_takes_no_edit(train, spared):
    graph = build_graph(
        Snapshot({"prepare.py": PREPARE.encode(), "train.py": train.encode()}, frozenset({"prepare.py"}))
    )
    protected = protected_slots(graph)
    start = train.index(spared)
    for edit in default_grammar().edits(graph, protected=protected):
        for _, replacements in default_grammar().plan(graph, edit, protected=protected).files:
            assert all(r.end <= start or r.start >= start + len(spared) for r in replacements), edit.uri


def test_what_is_computed_from_frozen_constants_stays_editable():
    train = "from prepare import N, load\ndata = load()\nclass M:\n    def __init__(self):\n        self.w = make(N, scale=0.5)\n"
    graph = build_graph(
        Snapshot({"prepare.py": PREPARE.encode(), "train.py": train.encode()}, frozenset({"prepare.py"}))
    )
    assert [e.site for e in default_grammar().only("scale-literal").edits(graph, protected=protected_slots(graph))]


AWKWARD = """\
import torch
from torch import nn
try:
    import torch.nn.functional as F
except ImportError:
    F = None
class Net(nn.Module):
    def __init__(self, wide: bool = True): super().__init__(); self.fc = nn.Linear(4, 4)
    def forward(self, x, F=None):
        if x is None: h = self.fc(x)
        y = self.fc(x); h = y
        h = torch.tanh(
            h,  # in
        )
        return torch.tanh(h) + (0.5  # half
                                * h)
def step(model, ps, b, x):
    opt = torch.optim.AdamW(betas=(0.9, 0.95), eps=1e-8, params=ps, lr=1e-3)
    slow = torch.optim.AdamW(
        ps,
        lr=3e-4,  # found by hand
        betas=(0.9, 0.95),  # the second matters
        eps=1e-8,
    )
    other = torch.optim.SGD(ps, *b, lr=0.1)
    x.backward(); opt.step()
    print(f"{0.5 * x} {x + 1.5=}")
    y = *b, x + 2.5
    return y
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_every_edit_that_is_offered_on_awkward_code_applies(newline, mark):
    graph = graph_of(mark + AWKWARD.replace("\n", newline).encode())
    assert not graph.files["a.py"].error
    assert check_properties(Code.of(graph.snapshot), at_most=80) > 20


def test_an_optimizer_whose_arguments_nobody_can_tell_is_left_alone():
    offered = {edit.site for edit in Code.of(graph_of(AWKWARD).snapshot).edits("swap-optimizer")}
    assert offered == {"a:step/call.AdamW.1"}


def test_an_import_that_the_site_would_not_see_is_refused():
    text = "from torch import tanh\ndef f(F, h):\n    return tanh(h)\n"
    assert not list(default_grammar().only("swap-activation").edits(graph_of(text)))
    assert list(default_grammar().only("swap-activation").edits(graph_of(text.replace("(F, h)", "(G, h)"))))


def test_what_the_manifest_protects_is_refused():
    graph = graph_of("def f(x):\n    return 0.5 * x\n")
    protected = protected_slots(graph, ["a:f/stmt.return"])
    assert not list(default_grammar().edits(graph, protected=protected))
    with pytest.raises(Refused) as refused:
        default_grammar().apply(graph, edit_of("scale-literal@a:f/literal.return?by=2.0"), protected=protected)
    assert refused.value.reason is Reason.PROTECTED


def test_grammars_add_and_narrow():
    narrow = default_grammar().only("flip-flag") + default_grammar().only("scale-literal")
    assert [kind.name for kind in narrow.kinds] == ["flip-flag", "scale-literal"]


OWN_STEP = """\
import torch
import torch.distributed as dist
class Own(torch.optim.Optimizer):
    def __init__(self, groups):
        super().__init__(groups, defaults={{}})
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                {reduce}
                p.data.add_(p.grad, alpha=-group["lr"])
def make(model):
    return Own([dict(params=list(model.parameters()), lr=0.1)])
"""
LOOP = """\
import torch
def run(model, loader):
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        loss = torch.nn.functional.mse_loss(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        {after}
"""
CELL = """\
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.{layer}(8, 8)
    def forward(self, x):
        y = self.layer(x)
        return y
"""
DROPS = """\
def seq(x, future=0):
    return x
def run(x, future):
    pred = seq(x, future=future)
    return pred[:, {cut}]
"""


@pytest.mark.parametrize(
    ("kind", "template", "offered", "left_alone"),
    [
        ("swap-optimizer", OWN_STEP, {"reduce": "pass"}, {"reduce": "dist.all_reduce(p.grad)"}),
        ("insert-ema", LOOP, {"after": "loss = None"}, {"after": "trigger_callbacks(model)"}),
        ("scale-output", CELL, {"layer": "Linear"}, {"layer": "LSTMCell"}),
        ("drop-argument", DROPS, {"cut": ":"}, {"cut": ":-future"}),
    ],
)
def test_what_an_edit_would_break_elsewhere_is_left_alone(kind, template, offered, left_alone):
    codes = [Code.of(graph_of(template.format(**holes)).snapshot) for holes in (offered, left_alone)]
    assert [bool(list(code.edits(kind))) for code in codes] == [True, False]
