"""The graph over files: who calls whom, who reads what, and that equal sources give equal graphs."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.build import build_graph
from graph.export import Format, write
from graph.model import EdgeKind, NodeKind
from graph.snapshot import GraphError, Snapshot, python_files, read_snapshot
from graph.summary import summarize
from harness.sources import open_sources
from mutator.shipped import default_grammar

CASES = Path(__file__).parent / "cases" / "calls"
BYTELM = open_sources("bytelm")
EDITS = tuple(default_grammar().edits(BYTELM.graph, protected=BYTELM.protected))


def graph_of(**sources):
    return build_graph(Snapshot({f"{name}.py": text.encode() for name, text in sources.items()}))


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: folder.name)
def test_calls_are_resolved_as_the_case_expects(folder):
    graph = build_graph(read_snapshot(folder, python_files(folder)))
    found = sorted(
        f"{edge.source} -> {edge.target}"
        for edge in graph.edges
        if edge.kind in (EdgeKind.CALLS, EdgeKind.INSTANTIATES) and not edge.target.startswith("builtins.")
    )
    assert found == (folder / "expected.txt").read_text().splitlines()


def test_a_call_that_cannot_be_followed_is_unresolved_and_never_guessed():
    graph = graph_of(a="def f(x):\n    x.go()\n", b="class B:\n    def go(self): ...\n")
    assert graph.targets("a:f/call.go", EdgeKind.UNRESOLVED) == ("?x.go",)
    assert not graph.targets("a:f/call.go", EdgeKind.CALLS)


def test_a_class_is_never_its_own_base():
    graph = graph_of(a="import torch.nn as nn\nclass Linear(nn.Linear): ...\n")
    assert graph.targets("a:Linear", EdgeKind.INHERITS) == ("torch.nn.Linear",)


def test_a_configuration_field_knows_who_reads_it_in_other_files():
    readers = BYTELM.graph.sources("config:ModelConfig/attr.n_embd", EdgeKind.READS)
    assert {reader.partition(":")[0] for reader in readers} >= {"layers", "model"}


def test_the_optimizer_step_is_known_across_files():
    step = next(node for node in BYTELM.graph.of_kind(NodeKind.CALL) if node.label == "step" and node.module == "train")
    assert "torch.optim.AdamW.step" in BYTELM.graph.callees(step)


def test_a_constructor_call_gives_the_class_and_its_constructor():
    graph = graph_of(a="class A:\n    def __init__(self): ...\nclass B(A): ...\nB()\n")
    assert set(graph.callees(graph.nodes["a:/call.B"])) == {"a:B", "a:A.__init__"}


def test_a_class_knows_its_external_bases_and_members_along_all_bases():
    graph = graph_of(
        a="import torch\nclass Low(torch.nn.Module):\n    size = 1\n    def make(self):\n        self.w = 2\n",
        b="from a import Low\nclass Middle(Low): ...\nclass High(Middle, Exception):\n    size = 2\n",
    )
    assert graph.external_bases("b:High") == {"torch.nn.Module", "builtins.Exception"}
    assert graph.members("b:High", "size") == ("b:High/attr.size", "a:Low/attr.size")
    assert graph.members("b:High", "w") == ("a:Low/attr.w",)
    assert graph.members("b:High", "make") == ("a:Low.make",)
    assert not graph.members("b:High", "nothing")


def test_names_are_bound_as_python_scopes_them():
    graph = graph_of(a="x = 1\nclass A:\n    x = 2\n    def f(self):\n        return x\n")
    assert [binding.slot for binding in graph.bindings("x", "a:A.f")] == ["a:/var.x"]
    assert [binding.slot for binding in graph.bindings("x", "a:A")] == ["a:A/attr.x"]
    assert not graph.bindings("print", "a:A.f")


def test_a_graph_keeps_its_answers_when_another_one_moved_the_resolver():
    source = "class A: ...\nclass B: ...\nmodel = {}()\nother = {}()\n"
    old = graph_of(a=source.format("A", "A"))
    assert dict(old.instances("a")) == {"model": "a:A", "other": "a:A"}
    old = graph_of(a=source.format("A", "A"))
    new = build_graph(Snapshot({"a.py": source.format("B", "B").encode()}), previous=old)
    assert dict(new.instances("a")) == {"model": "a:B", "other": "a:B"}
    assert dict(old.instances("a")) == {"model": "a:A", "other": "a:A"}


def test_a_file_that_does_not_parse_is_an_error_node_and_the_rest_stands():
    graph = graph_of(bad="def f(:\n", good="def g(): ...\ng()\n")
    assert graph.nodes["bad"].kind is NodeKind.ERROR
    assert "bad.py:1" in graph.files["bad.py"].error
    assert graph.targets("good:/call.g", EdgeKind.CALLS) == ("good:g",)


@pytest.mark.parametrize(
    "sources",
    [
        {"a": "import torch\nx = torch.relu(y)\n" + "x = x.view(1)\nx = x.transpose(1)\n" * 20 + "x.sum()\n"},
        {"a": "from b import f\nf()\n", "b": "from a import f\nf()\n"},
        {"logging": "from logging import getLogger\ngetLogger()\n"},
        {"a": "x = a" + ".b()" * 150 + "\n"},
        {"a": "def f0(): ...\n" + "".join(f"def f{i}(): return f{i - 1}()\n" for i in range(1, 200)) + "f199()\n"},
        {"a": "x = 0\n" + "".join(f"x = f(x, {i})\n" for i in range(1000))},
        {"a": "x = (a  # why\n     if b else c)\nx()\n"},
        {"a": "y = " + " + ".join(["a"] * 3000) + "\n"},
    ],
    ids=[
        "rebinding",
        "cyclic imports",
        "a module named as a library",
        "a chain",
        "returns of returns",
        "loops",
        "comment",
        "deep",
    ],
)
def test_awkward_sources_give_a_graph_of_moderate_size(sources):
    graph = graph_of(**sources)
    assert len(graph.edges) < 10_000
    assert all(len(graph.callees(call)) <= 16 for call in graph.of_kind(NodeKind.CALL))


def test_every_node_slices_its_own_source():
    for node in BYTELM.graph.nodes.values():
        if node.kind in (NodeKind.CALL, NodeKind.LITERAL, NodeKind.OPERATOR):
            assert BYTELM.graph.syntax(node).text == BYTELM.graph.text(node).encode()


def test_slots_are_unique_and_every_edge_ends_at_a_node():
    assert all(edge.source in BYTELM.graph.nodes and edge.target in BYTELM.graph.nodes for edge in BYTELM.graph.edges)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(EDITS))
def test_a_graph_rebuilt_after_an_edit_equals_one_built_from_nothing(edit):
    edited = default_grammar().apply(BYTELM.graph, edit, protected=BYTELM.protected)
    incremental = build_graph(edited, previous=BYTELM.graph)
    assert incremental == build_graph(edited)
    assert incremental != BYTELM.graph
    unchanged = [path for path in edited.files if edited.files[path] == BYTELM.snapshot.files[path]]
    assert all(incremental.files[path] is BYTELM.graph.files[path] for path in unchanged if path.endswith(".py"))


def test_a_missing_file_and_an_empty_folder_are_one_line(tmp_path):
    with pytest.raises(GraphError, match=r"nothing\.py: cannot be read"):
        read_snapshot(tmp_path, ["nothing.py"])
    with pytest.raises(GraphError, match="holds no Python file"):
        python_files(tmp_path)


def test_the_summary_names_what_was_not_resolved_and_the_json_has_it_all():
    graph = graph_of(a="def f(x):\n    x.go()\n", bad="def f(:\n")
    lines = "\n".join(summarize(graph))
    assert "x.go" in lines
    assert "bad.py:1" in lines
    exported = json.loads(write(graph, Format.JSON))
    assert len(exported["nodes"]) == len(graph.nodes)
    assert len(exported["edges"]) == len(graph.edges)
