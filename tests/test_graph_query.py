"""Questions to a graph: names, callers, slices, impact, paths."""

from itertools import pairwise

import pytest

from graph.build import build_graph
from graph.model import Confidence, EdgeKind, NodeKind
from graph.query import (
    backward_slice,
    callees,
    callers,
    definitions,
    dotted,
    find,
    forward_slice,
    impact,
    locate,
    path,
    uses,
)
from graph.snapshot import GraphError, Snapshot
from harness.sources import open_sources

BYTELM = open_sources("bytelm").graph


def graph_of(**sources):
    return build_graph(Snapshot({f"{name}.py": text.encode() for name, text in sources.items()}))


CHAIN = graph_of(
    low="LIMIT = 3\ndef low(x):\n    return x * LIMIT\n",
    mid="from low import low\ndef mid(y):\n    return low(y)\nclass C:\n    def m(self):\n        return mid(1)\n",
    main="from mid import C, mid\nfor step in range(2):\n    C().m()\n",
)


def test_nodes_are_found_by_kind_glob_file_and_edge():
    assert [n.slot for n in find(CHAIN, kind=NodeKind.FUNCTION, name="m*")] == ["mid:mid", "mid:C.m"]
    assert [n.slot for n in find(CHAIN, name="mid.C.m")] == ["mid:C.m"]
    assert {n.path for n in find(CHAIN, path="lo*.py")} == {"low.py"}
    assert [n.slot for n in find(CHAIN, kind=NodeKind.FUNCTION, edge=EdgeKind.CALLS)] == [
        "low:low",
        "mid:mid",
        "mid:C.m",
    ]


def test_callers_and_callees_go_as_far_as_asked_nearest_first():
    assert callers(CHAIN, "low:low") == ("mid:mid",)
    assert callers(CHAIN, "low:low", depth=9) == ("mid:mid", "mid:C.m", "main")
    assert callees(CHAIN, "mid:C.m") == ("mid:mid",)
    assert callees(CHAIN, "mid:C.m", depth=2) == ("mid:mid", "low:low")
    assert "builtins.range" in callees(CHAIN, "main")


def test_less_sure_edges_are_left_out_when_asked():
    graph = graph_of(a="import library\ndef f(): ...\ndef g(h=f):\n    h()\ng(), f(), library.run(f)\n", b=RUN_F)
    assert callers(graph, "a:f") == ("a", "a:g", "b:run")
    assert callers(graph, "a:f", at_least=Confidence.INFERRED) == ("a", "a:g")
    assert callers(graph, "a:f", at_least=Confidence.EXACT) == ("a",)
    assert callees(graph, "b:run") == ("a:f", "library.run")
    assert callees(graph, "b:run", at_least=Confidence.INFERRED) == ("library.run",)


RUN_F = "import library\nfrom a import f\ndef run():\n    library.run(f)\n"


def test_a_class_is_made_where_it_is_called_and_its_constructor_runs_there_and_below_super():
    graph = graph_of(
        a="class A:\n    def __init__(self): ...\nclass B(A):\n    def __init__(self):\n        super().__init__()\n"
        "class C(A): ...\ndef f(): return A()\ndef g(): return B()\ndef h(make=C): return make()\n"
    )
    assert [callers(graph, f"a:{name}") for name in "ABC"] == [("a:f",), ("a:g",), ("a:h",)]
    assert callers(graph, "a:A.__init__") == ("a:B.__init__", "a:f", "a:h")
    assert callees(graph, "a:h") == ("a:A.__init__", "a:C")


def test_decorators_run_where_the_function_is_defined():
    graph = graph_of(
        a="def d(f): return f\ndef make(n): return d\n@d\ndef g(): ...\n"
        "def outer():\n    @make(1)\n    def inner(): ...\n    @d\n    class C:\n        @d\n        def m(self): ...\n"
    )
    assert callers(graph, "a:d") == ("a", "a:outer")
    assert callees(graph, "a") == ("a:d",)
    assert callees(graph, "a:outer") == ("a:d", "a:make")
    assert callees(graph, "a:g") == callees(graph, "a:outer.inner") == callees(graph, "a:outer.C.m") == ()


def test_defaults_run_where_the_function_is_defined_and_class_bodies_where_the_class_is():
    graph = graph_of(
        a="def f(): ...\ndef g(): ...\ndef h(x=f(g()), y=lambda: k()):\n    g()\nclass C:\n    z = f()\ndef k(): ...\n"
    )
    assert callees(graph, "a:h") == ("a:g",)
    assert callees(graph, "a") == ("a:f", "a:g")
    assert callers(graph, "a:f") == ("a",)


def test_a_definition_is_found_by_its_dotted_name_or_the_end_of_it():
    assert [n.slot for n in definitions(CHAIN, "mid.C.m")] == ["mid:C.m"]
    assert [n.slot for n in definitions(CHAIN, "C.m")] == ["mid:C.m"]
    assert [n.slot for n in definitions(CHAIN, "LIMIT")] == ["low:/var.LIMIT"]
    assert definitions(CHAIN, "nothing") == ()


def test_definitions_of_one_name_share_their_dotted_name():
    graph = graph_of(a="if x:\n    def f(): ...\nelse:\n    def f(): ...\n")
    assert [dotted(graph, n) for n in graph.of_kind(NodeKind.FUNCTION)] == ["a.f", "a.f"]


def test_uses_are_seen_through_imports():
    assert {(e.source, e.kind.value) for e in uses(CHAIN, "low:low")} >= {
        ("mid:mid/call.low", "calls"),
        ("mid:mid/stmt.return", "reads"),
    }


def test_a_backward_slice_follows_reads_calls_and_the_headers_around():
    found = backward_slice(CHAIN, "main:/call.m")
    assert {"main:/stmt.for", "mid:C.m", "mid:mid", "low:low", "low:low/stmt.return", "low:/stmt.LIMIT"} <= set(found)
    assert list(found) == sorted(found, key=lambda slot: (CHAIN.nodes[slot].path, CHAIN.nodes[slot].start, slot))


def test_a_forward_slice_follows_returns_to_the_call_sites():
    found = set(forward_slice(CHAIN, "low:/var.LIMIT"))
    assert {"low:low/stmt.return", "low:low", "mid:mid/stmt.return", "mid:C.m", "main:/stmt.m"} <= found
    assert "mid:C" not in found


def test_a_slice_of_a_local_name_leaves_out_what_was_overwritten():
    graph = graph_of(a="def f(p, q):\n    x = q\n    x = p\n    p = 1\n    return x + p\nf(2, 3)\n")
    assert set(backward_slice(graph, "a:f/stmt.return")) == {
        "a:f/stmt.return", "a:f/stmt.x.1", "a:f/stmt.p", "a:f/param.p", "a:/stmt.f", "a:/call.f", "a:f",
    }  # fmt: skip
    assert set(forward_slice(graph, "a:f/param.q")) == {"a:f/param.q", "a:f/stmt.x"}
    assert set(forward_slice(graph, "a:f/stmt.p")) == {
        "a:f/stmt.p",
        "a:f/stmt.return",
        "a:f",
        "a:/call.f",
        "a:/stmt.f",
    } | set(forward_slice(graph, "a:/call.f"))


def test_a_slice_sees_what_other_functions_do_to_a_name():
    inner = "    def g():\n        nonlocal x\n        x = p\n    g()\n    return x\n"
    graph = graph_of(a=f"def f(p):\n    x = 1\n{inner}LIMIT = 2\nprint(LIMIT)\ndef h():\n    return LIMIT\n")
    assert {"a:f/stmt.x", "a:f.g/stmt.x", "a:f/param.p"} <= set(backward_slice(graph, "a:f/stmt.return"))
    assert {"a:f/stmt.return", "a:f"} <= set(forward_slice(graph, "a:f.g/stmt.x"))
    assert {"a:/stmt.print", "a:h/stmt.return"} <= set(forward_slice(graph, "a:/stmt.LIMIT"))


def test_a_slice_follows_what_a_generator_yields():
    graph = graph_of(
        a="def f(p):\n    q = p\n    yield q\n    if p:\n        r = yield 1\nfor x in f(1):\n    print(x)\n"
    )
    assert {"a:f/stmt.q", "a:f/param.p", "a:/call.f"} <= set(backward_slice(graph, "a:/stmt.print"))
    assert {"a:f", "a:/stmt.for", "a:/stmt.print"} <= set(forward_slice(graph, "a:f/stmt.q"))


def test_a_parameter_comes_from_its_default_too():
    graph = graph_of(a="LIMIT = 1\nOTHER = 2\ndef g(): return 3\ndef f(x=LIMIT, y=g(), z=OTHER):\n    return x + y\n")
    found = set(backward_slice(graph, "a:f/stmt.return"))
    assert {"a:/stmt.LIMIT", "a:g/stmt.return"} <= found
    assert "a:/stmt.OTHER" not in found


def test_impact_reaches_callers_of_callers_and_readers_of_fields():
    reached = impact(CHAIN, "low:/var.LIMIT")
    assert (reached.exact, reached.inferred) == (("low", "low:low", "mid:mid", "mid:C.m"), ("main",))
    assert (reached.may, reached.unresolved, reached.verdict) == ((), 0, "known")
    fields = impact(BYTELM, "config:ModelConfig")
    assert {"layers:MLP.__init__", "model:GPT.__init__"} <= set(fields.exact)


def test_impact_of_a_statement_reaches_the_functions_that_read_what_it_binds():
    graph = graph_of(a="def f():\n    x = 1\n    def g():\n        return x\n    return g\ndef h(): return 2\n")
    assert impact(graph, "a:f/stmt.x").exact == ("a:f", "a:f.g")


def test_impact_is_as_sure_as_the_surest_way():
    graph = graph_of(
        a="import library\ndef f(): ...\ndef g():\n    library.run(f)\n    h()\ndef h(c=f):\n    c()\n"
        "def k():\n    library.run(f)\ng(), h()\n"
    )
    assert impact(graph, "a:f").exact == ()
    assert impact(graph, "a:f").inferred == ("a", "a:g", "a:h")
    assert impact(graph, "a:f").may == ("a:k",)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [("def g(x):\n    x.other()\n", "known"), ("def g(x):\n    x.f()\n", "unknown"), ("def g(:\n", "unknown")],
    ids=["another name", "the same name", "a file that does not parse"],
)
def test_impact_says_when_it_cannot_know(other, verdict):
    graph = graph_of(a="def f(): ...\nf()\n", b=other)
    assert impact(graph, "a:f").verdict == verdict


def test_impact_is_unknown_where_most_calls_cannot_be_followed():
    graph = graph_of(a="def f(): ...\ndef g(x):\n    f()\n    x.a()\n    x.b()\n")
    assert (impact(graph, "a:f").verdict, impact(graph, "a:f").unresolved) == ("unknown", 2)


def test_a_path_is_a_shortest_one_and_empty_when_there_is_none():
    way = path(CHAIN, "main", "low:low")
    assert (way[0].source, way[-1].target) == ("main", "low:low")
    assert all(first.target == second.source for first, second in pairwise(way))
    assert path(CHAIN, "low:low", "main") == ()


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ("mid:C.m", "mid:C.m"),
        ("mid.C.m", "mid:C.m"),
        ("C.m", "mid:C.m"),
        ("mid", "mid"),
        ("low.py:3", "low:low/stmt.return"),
        ("low.py:2", "low:low"),
        ("main.py:1", "main:/import.C"),
        ("main.py:3", "main:/stmt.m"),
    ],
)
def test_a_person_may_name_a_node_by_slot_dotted_name_or_line(text, slot):
    assert locate(CHAIN, text).slot == slot


def test_an_unknown_name_says_what_is_near_and_an_ambiguous_one_what_it_may_be():
    with pytest.raises(GraphError, match=r"mid:C\.n: is no node of the graph; near it: mid:C\.m"):
        locate(CHAIN, "mid:C.n")
    graph = graph_of(a="def f(): ...\n", b="def f(): ...\n")
    with pytest.raises(GraphError, match="f: may be a:f, b:f; name one"):
        locate(graph, "f")
    with pytest.raises(GraphError, match=r"low\.py:99: is no line"):
        locate(CHAIN, "low.py:99")


def test_every_question_answers_for_every_node_of_a_target():
    for slot, node in BYTELM.nodes.items():
        if node.kind is not NodeKind.LITERAL:
            assert slot in backward_slice(BYTELM, slot) or node.kind is NodeKind.EXTERNAL
            assert slot in forward_slice(BYTELM, slot) or node.kind is NodeKind.EXTERNAL
            callers(BYTELM, slot), callees(BYTELM, slot), uses(BYTELM, slot)
