"""Intents become bytes where a person would have put them: indentation, newlines, comments, imports, parentheses."""

import libcst
import pytest

from graph.build import build_graph
from graph.model import NodeKind
from graph.snapshot import Snapshot
from mutator.intents import (
    AddField,
    AddParam,
    DeleteStmt,
    EnsureImport,
    InsertStmt,
    ReplaceExpr,
    ReplaceStmt,
    RewriteUnit,
    Span,
    WrapStmts,
)  # fmt: skip
from mutator.kind import Reason, Refused
from mutator.render import render
from mutator.verify import verify


def graph_of(text):
    return build_graph(Snapshot({"a.py": text.encode() if isinstance(text, str) else text}))


def rendered(graph, *intents):
    patch = render(graph, intents)
    verify(graph, patch)
    return patch.apply(graph.snapshot.files)["a.py"].decode()


LOOP = """\
def f(xs, g, h):
    for x in xs:  # each
        y = g(
            x,
        )  # made
        h(y)
    return xs
"""


def test_a_statement_goes_behind_the_block_of_a_compound_one():
    graph = graph_of(LOOP)
    text = rendered(graph, InsertStmt(graph.nodes["a:f/stmt.for"], "if xs:\n    h(xs)"))
    assert text == LOOP.replace("        h(y)\n", "        h(y)\n    if xs:\n        h(xs)\n")


def test_insertions_at_one_place_keep_their_order():
    graph = graph_of("a = 1\nb = 2\n")
    first = graph.nodes["a:/stmt.a"]
    text = rendered(
        graph,
        InsertStmt(first, "d = 4", order=2),
        InsertStmt(first, "c = 3", order=1),
        InsertStmt(first, "e = 5", order=2),
    )
    assert text == "a = 1\nc = 3\nd = 4\ne = 5\nb = 2\n"


@pytest.mark.parametrize(("unit", "newline"), [("\t", "\n"), ("  ", "\r\n"), ("    ", "\n")])
def test_text_takes_the_indentation_and_the_newlines_of_its_file(unit, newline):
    source = f"def f(x):\n{unit}if x:\n{unit}{unit}x = 1\n{unit}return x\n".replace("\n", newline)
    graph = graph_of(source)
    text = rendered(graph, InsertStmt(graph.nodes["a:f/stmt.x"], "for _ in x:\n    if _:\n        x = 2"))
    wanted = f"{unit}{unit}x = 1\n{unit}{unit}for _ in x:\n{unit * 3}if _:\n{unit * 4}x = 2\n".replace("\n", newline)
    assert text == source.replace(f"{unit}{unit}x = 1{newline}", wanted)


def test_a_wrapped_run_is_indented_but_not_the_lines_inside_of_its_strings():
    source = 'def f(x):\n    y = """\n  a\n"""  # text\n    # why\n    z = x\n\n    return y\n'
    graph = graph_of(source)
    text = rendered(graph, WrapStmts(graph.nodes["a:f/stmt.y"], graph.nodes["a:f/stmt.z"], "if x:"))
    assert text == (
        'def f(x):\n    if x:\n        y = """\n  a\n"""  # text\n        # why\n        z = x\n\n    return y\n'
    )


def test_a_deleted_statement_takes_its_lines_and_its_comment_along():
    graph = graph_of(LOOP)
    assert rendered(graph, DeleteStmt(graph.nodes["a:f/stmt.h"])) == LOOP.replace("        h(y)\n", "")
    graph = graph_of("a = 1  # one\nb = 2\n")
    assert rendered(graph, DeleteStmt(graph.nodes["a:/stmt.a"])) == "b = 2\n"


def test_the_last_statement_of_a_block_becomes_pass():
    graph = graph_of("def f(x):\n    g(x)  # once\n")
    assert rendered(graph, DeleteStmt(graph.nodes["a:f/stmt.g"])) == "def f(x):\n    pass  # once\n"


def test_a_statement_is_replaced_with_its_block():
    graph = graph_of(LOOP)
    wanted = "def f(xs, g, h):\n    y = xs\n    h(y)\n    return xs\n"
    with pytest.raises(Refused, match="lose a comment"):
        rendered(graph, ReplaceStmt(graph.nodes["a:f/stmt.for"], "y = xs\nh(y)"))
    graph = graph_of(LOOP.replace("  # each", "").replace("  # made", ""))
    assert rendered(graph, ReplaceStmt(graph.nodes["a:f/stmt.for"], "y = xs\nh(y)")) == wanted


def test_a_name_is_replaced_and_gets_parentheses_where_it_needs_them():
    graph = graph_of("a = 1\ny = a * 2\n")
    assert rendered(graph, ReplaceExpr(Span("a.py", 10, 11), "a + 1")) == "a = 1\ny = (a + 1) * 2\n"


def test_a_field_goes_behind_the_last_one():
    source = (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int = 1  # first\n\n    def f(self): ...\n"
    )
    graph = graph_of(source)
    text = rendered(
        graph, AddField(graph.nodes["a:C"], "b", "float", "2.0"), AddField(graph.nodes["a:C"], "c", "int", "3")
    )
    assert text == source.replace("# first\n", "# first\n    b: float = 2.0\n    c: int = 3\n")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ('"""Doc."""\nx = 1\n', '"""Doc."""\nimport math\nx = 1\n'),
        (
            "import os\nos.environ['A'] = 'b'\nimport sys\n\nx = 1\n",
            "import os\nos.environ['A'] = 'b'\nimport sys\nimport math\n\nx = 1\n",
        ),
        ("import math.x\nimport sys\nx = 1\n", None),
        ("from __future__ import annotations\nx = 1\n", "from __future__ import annotations\nimport math\nx = 1\n"),
        ("import math\nx = 1\n", "import math\nx = 1\n"),
        ("import os; x = 1\n", None),
    ],
)
def test_an_import_goes_where_a_person_would_put_it(source, wanted):
    graph = graph_of(source)
    site = graph.nodes["a:/stmt.x"]
    patch = render(graph, [EnsureImport(site, "math", "math")])
    verify(graph, patch)
    if wanted is not None:
        assert patch.apply(graph.snapshot.files).get("a.py", source.encode()).decode() == wanted


def test_an_import_from_a_module_is_made_once():
    graph = graph_of("def f(x):\n    return x\n")
    site = graph.nodes["a:f/stmt.return"]
    intent = EnsureImport(site, "torch.utils.checkpoint", "checkpoint", name="checkpoint")
    text = rendered(graph, intent, intent)
    assert text == "from torch.utils.checkpoint import checkpoint\ndef f(x):\n    return x\n"
    again = graph_of(text)
    assert not render(
        again, [EnsureImport(again.nodes["a:f/stmt.return"], "torch.utils.checkpoint", "checkpoint", name="checkpoint")]
    ).files


class Squares(libcst.CSTTransformer):
    def leave_BinaryOperation(self, original_node, updated_node):  # noqa: N802 - libcst's name
        if isinstance(original_node.operator, libcst.Multiply):
            return updated_node.with_changes(operator=libcst.Power())
        return updated_node


def test_a_unit_is_rewritten_with_libcst_and_only_changed_lines_are_replaced():
    source = "class A:\n    def f(self, a, b):\n        '''\n  text\n        '''\n        c = a  *  b   # kept\n        return  c\n"
    graph = graph_of(source)
    patch = render(graph, [RewriteUnit(graph.nodes["a:A.f"], Squares)])
    verify(graph, patch)
    assert patch.apply(graph.snapshot.files)["a.py"].decode() == source.replace("a  *  b", "a ** b")
    assert [len(replacements) for _, replacements in patch.files] == [1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a", "a, d=2"),
        ("", "d=2"),
        ("a, b=1", "a, b=1, d=2"),
        ("a, /, b=1, *args, c, **kw", "a, /, b=1, d=2, *args, c, **kw"),
        ("a, /", "a, /, d=2"),
        ("*, c", "d=2, *, c"),
        ("a: int, *args", "a: int, d=2, *args"),
    ],
)
def test_a_new_parameter_leaves_every_call_by_position_as_it_was(before, after):
    graph = graph_of(f"def f({before}): ...\n")
    assert rendered(graph, AddParam(graph.nodes["a:f"], "d", "2")) == f"def f({after}): ...\n"


def test_what_shares_its_line_is_refused():
    graph = graph_of("def f(x): return x\na = 1; b = 2\n")
    for intent in (InsertStmt(graph.nodes["a:f/stmt.return"], "y = 1"), DeleteStmt(graph.nodes["a:/stmt.b"])):
        with pytest.raises(Refused) as refused:
            render(graph, [intent])
        assert refused.value.reason is Reason.SHARED_LINE


def test_a_decorated_function_takes_statements_before_its_decorators():
    graph = graph_of("@d\ndef f(): ...\n")
    node = next(graph.of_kind(NodeKind.FUNCTION))
    assert rendered(graph, InsertStmt(node, "d = None", before=True)) == "d = None\n@d\ndef f(): ...\n"


@pytest.mark.parametrize(("own", "wanted"), [("a = 'x'\nb = 'y'\n", "c = 'z'"), ('a = "x"\nb = "y"\n', 'c = "z"')])
def test_inserted_text_takes_the_quotes_of_its_file(own, wanted):
    graph = graph_of(own)
    assert rendered(graph, InsertStmt(graph.nodes["a:/stmt.b"], 'c = "z"')) == own + wanted + "\n"
