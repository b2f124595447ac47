"""The library: scripts that grow, are taken back in part, run together as one transaction, and shrink."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.model import NodeKind
from graph.snapshot import Snapshot
from harness.sources import open_sources
from mutator.code import Code
from mutator.domain import NOTHING_TO_CHOOSE
from mutator.edit import EditError, SiteGone, parse_edit
from mutator.grammar import Grammar
from mutator.kind import EditKind, Family, Reason, Refused
from mutator.shipped import default_grammar
from mutator.shrink import shrink

TRAIN = """\
import torch
import torch.nn.functional as F

lr = 0.5


def act(x):
    return F.relu(x)


def step(x):
    y = 0.25 * x
    return y
"""
HALVE_LR, HALVE_Y = "scale-literal@a:/literal.lr?by=0.5", "scale-literal@a:step/literal.y?by=2.0"
GELU = "swap-activation@a:act/call.relu?to=gelu"
BYTELM = open_sources("bytelm").code


def code(text=TRAIN, **more):
    return Code.of(Snapshot({"a.py": text.encode()}), **more)


def text(of):
    return of.snapshot.files["a.py"].decode()


def test_edits_apply_in_order_and_the_diff_shows_all_of_them():
    after = code().apply(HALVE_LR, GELU)
    assert [edit.kind for edit in after.script] == ["scale-literal", "swap-activation"]
    assert {line for line in after.diff().splitlines() if line.startswith(("+lr", "+    "))} == {
        "+lr = 0.25",
        "+    return F.gelu(x)",
    }


def test_undo_gives_back_the_very_snapshot():
    before = code()
    assert before.apply(HALVE_LR).undo().snapshot is before.snapshot
    with pytest.raises(EditError, match="nothing was edited"):
        before.undo()


def test_an_edit_in_the_middle_is_taken_back_alone():
    script = code().apply(HALVE_LR, GELU, HALVE_Y)
    assert text(script.without(1)) == text(code().apply(HALVE_LR, HALVE_Y))


def test_taking_back_what_others_depend_on_names_them():
    once = code().apply(HALVE_LR)
    twice = once.apply(next(e for e in once.edits("scale-literal") if e.site == "a:/literal.lr"))
    with pytest.raises(EditError, match=r"1 later edits depend on it: scale-literal@a:/literal.lr"):
        twice.without(0)


def test_edits_that_run_together_are_one_transaction_in_any_order():
    edits = [HALVE_LR, GELU, HALVE_Y]
    results = {text(code().apply_together(*order)) for order in (edits, edits[::-1], [GELU, HALVE_Y, HALVE_LR])}
    assert results == {text(code().apply(*edits))}


def test_two_edits_of_the_same_bytes_are_in_conflict_and_both_are_named():
    with pytest.raises(
        Refused, match=r"scale-literal@.*by=0\.5 and scale-literal@.*by=2\.0 are in conflict"
    ) as refused:
        code().apply_together(HALVE_LR, "scale-literal@a:/literal.lr?by=2.0")
    assert refused.value.reason is Reason.CONFLICT


def test_conflicts_are_found_without_applying():
    edits = [*{edit.address: edit for edit in code().edits()}.values()]
    conflicts, refused = code().conflicts(edits), set()
    for i, j in combinations(range(len(edits)), 2):
        try:
            code().edited(edits[i], edits[j])
        except Refused as error:
            refused |= {(i, j)} if error.reason is Reason.CONFLICT else set()
    assert conflicts == refused != set()


def test_the_same_edit_twice_is_a_conflict_that_names_it():
    with pytest.raises(Refused, match=r"by=0\.5: is given twice"):
        code().apply_together(HALVE_LR, HALVE_LR)


@pytest.mark.parametrize("number", [-1, 2, 5])
def test_an_edit_that_the_script_does_not_have_cannot_be_taken_back(number):
    with pytest.raises(EditError, match=f"{number}: is no edit of the script, which has 2"):
        code().apply(HALVE_LR, GELU).without(number)


def test_taking_back_replays_under_the_grammar_of_the_time():
    script = code().apply(GELU, HALVE_LR)
    narrow = script.using(default_grammar().only("scale-literal"))
    assert text(narrow.without(1)) == text(code().apply(GELU))
    assert [kind.name for kind in narrow.without(1).grammar.kinds] == ["scale-literal"]


class Odd(EditKind):
    """Answer whatever a careless author may.

    Why: to be told so.
    """

    name, family, at, examples, refusals = "do-odd", Family.LITERAL, NodeKind.LITERAL, (), ()

    def __init__(self, domain, plan):
        self._answers = domain, plan

    def domain(self, graph, site):
        return self._answers[0]

    def plan(self, graph, site, choice):
        return self._answers[1]


@pytest.mark.parametrize(
    ("domain", "plan", "says"),
    [
        (None, (), "do-odd: its domain at a:/literal.lr is None; return a Domain or a Reason"),
        (NOTHING_TO_CHOOSE, None, "do-odd: its plan at a:/literal.lr is None; return a tuple of intents"),
        (NOTHING_TO_CHOOSE, ("x",), "return a tuple of intents"),
        (NOTHING_TO_CHOOSE, (), "changes nothing"),
    ],
)
def test_a_kind_that_answers_nonsense_is_told_so(domain, plan, says):
    odd = code().using(Grammar((Odd(domain, plan),)))
    with pytest.raises(EditError, match=says):
        odd.apply("do-odd@a:/literal.lr")
    if says == "changes nothing":
        assert list(odd.edits()) == []


def test_an_import_that_two_edits_need_is_made_once():
    source = "from torch import tanh\ndef f(h):\n    return tanh(h)\ndef g(h):\n    return tanh(h)\n"
    both = code(source).apply_together("swap-activation@a:f/call.tanh?to=gelu", "swap-activation@a:g/call.tanh?to=gelu")
    assert text(both).count("import torch.nn.functional as F") == 1


def test_what_the_manifest_protects_stays_protected_along_a_script():
    guarded = code(protected=["a:/stmt.lr"])
    with pytest.raises(Refused) as refused:
        guarded.apply(GELU).apply(HALVE_LR)
    assert refused.value.reason is Reason.PROTECTED


def test_an_edit_of_another_version_of_its_kind_is_refused_not_reinterpreted():
    with pytest.raises(Refused, match="made by version 7 of scale-literal"):
        code().apply("scale-literal:7@a:/literal.lr?by=0.5")
    assert parse_edit("scale-literal:7@a:/literal.lr?by=0.5").uri == "scale-literal:7@a:/literal.lr?by=0.5"


def test_a_number_between_the_points_of_a_grid_may_be_chosen():
    assert "lr = 0.37" in text(code().apply("set-literal@a:/literal.lr?to=0.37"))
    with pytest.raises(Refused) as refused:
        code().apply("set-literal@a:/literal.lr?to=1e9")
    assert refused.value.reason is Reason.NO_CHOICE


def test_a_promise_is_kept_by_later_edits():
    source = (
        "import torch\nmodel = torch.nn.Linear(2, 2)\nopt = torch.optim.SGD(model.parameters(), lr=1.0)\n"
        "for x in data:\n    loss = model(x).sum()\n    loss.backward()\n    opt.step()\n"
    )
    clip = next(code(source).edits("insert-grad-clip"))
    clipped = code(source).apply(clip)
    assert clipped.snapshot.promises
    gone = "delete-statement@a:/stmt.clip_grad_norm_"
    with pytest.raises(Refused) as refused:
        clipped.apply(gone)
    assert refused.value.reason is Reason.PROMISE
    assert gone not in {edit.uri.partition("#")[0] for edit in clipped.edits("delete-statement")}
    forgetful = Code.of(Snapshot(clipped.snapshot.files))  # the same code without the promise
    assert gone in {edit.uri.partition("#")[0] for edit in forgetful.edits("delete-statement")}


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.sets(st.integers(0, 7), min_size=1, max_size=3))
def test_shrinking_finds_exactly_the_edits_that_matter(needed):
    source = "".join(f"def f{i}(x):\n    return 0.5 * x\n" for i in range(8))
    script = [parse_edit(f"scale-literal@a:f{i}/literal.return?by=2.0") for i in range(8)]
    found = shrink(
        code(source), script, lambda after: all(f"def f{i}(x):\n    return 1.0" in text(after) for i in needed)
    )
    assert found == tuple(script[i] for i in sorted(needed))


def test_a_script_that_does_not_hold_is_not_shrunk():
    with pytest.raises(EditError, match="does not hold"):
        shrink(code(), [parse_edit(HALVE_LR)], lambda _: False)


def test_a_script_survives_unrelated_edits_and_is_refused_where_its_own_site_changed():
    edit = next(e for e in code().edits("scale-literal") if e.site == "a:step/literal.y")
    moved = code(TRAIN.replace("def step(x):\n", "def step(x):\n    # new\n    y = 0.75\n"))
    assert "y = 0.75\n" in text(moved.apply(edit))
    with pytest.raises(SiteGone):
        code(TRAIN.replace("0.25 * x", "0.25 * x + 1")).apply(edit)


def test_kinds_are_left_out_weighted_and_not_doubled():
    grammar = default_grammar().without("flip-flag").weighted(scale_literal=3.0)
    assert "flip-flag" not in [kind.name for kind in grammar.kinds]
    assert grammar.priors["scale-literal"] == 3.0
    with pytest.raises(EditError, match="is in both grammars"):
        _ = grammar + default_grammar().only("scale-literal")
    with pytest.raises(EditError, match="has the prior 0"):
        grammar.weighted(scale_literal=0)


def test_a_script_of_every_kind_replays_to_the_same_bytes():
    script, after = [], BYTELM
    for kind in default_grammar().kinds:
        edit = next(after.edits(kind.name), None)
        if edit is not None:
            script.append(edit.uri)
            after = after.apply(edit)
    assert len(script) > 10
    assert BYTELM.apply(*script).snapshot.digest == after.snapshot.digest
