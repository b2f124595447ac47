"""What leaves the graph for other programs: PyCG's form, JSON, GraphML, GEXF, DOT, Mermaid."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import networkx
import pytest

from graph.build import build_graph
from graph.export import MERMAID_EDGES, Format, call_graph, read_json, write
from graph.model import Confidence
from graph.snapshot import GraphError, Snapshot
from graph.views import to_networkx
from harness.ledger import Ledger
from harness.objects import ObjectStore
from harness.record import Proposal, Settings
from harness.sources import open_program, open_sources
from mutator.edit import parse_edit
from targets.manifest import TargetError

BYTELM = open_sources("bytelm").graph


def graph_of(**sources):
    return build_graph(Snapshot({f"{name.replace('__of__', '/')}.py": text.encode() for name, text in sources.items()}))


AWKWARD = graph_of(a='x["a\\"<b>&\\x00\x0c"](1)\n"\\\\".y()\nz["né\\n"]()\n', bad="def f(:\n")


def called(graph, **options):
    return {caller: sorted(callees) for caller, callees in call_graph(graph, **options).items()}


def test_calls_are_named_as_in_pycg():
    graph = graph_of(
        main="import torch\nfrom pkg.a import C\ndef f():\n    def inner(): ...\n    inner()\nc = C()\nc.m()\nf()\nprint(torch.ones(1))\n",
        pkg__of____init__="",
        pkg__of__a="class B:\n    def __init__(self): ...\nclass C(B):\n    def m(self):\n        len('')\n",
    )
    assert called(graph) == {
        "main": ["main.f", "pkg.a.B.__init__", "pkg.a.C.m"],
        "main.f": ["main.f.inner"],
        "main.f.inner": [],
        "pkg": [],
        "pkg.a": [],
        "pkg.a.B.__init__": [],
        "pkg.a.C.m": [],
    }
    assert called(graph, externals=True)["main"] == [
        "<builtin>.print", "main.f", "pkg.a.B.__init__", "pkg.a.C.m", "torch.ones",
    ]  # fmt: skip
    assert called(graph, externals=True)["pkg.a.C.m"] == ["<builtin>.len"]


def test_the_body_of_a_class_runs_in_what_encloses_it():
    graph = graph_of(a="def f(): ...\nclass C:\n    x = f()\ndef g():\n    class D:\n        y = f()\n")
    assert called(graph) == {"a": ["a.f"], "a.f": [], "a.g": ["a.f"]}


def test_the_surest_edge_between_two_functions_counts():
    text = "import library\ndef f(): ...\ndef g():\n    library.run(f)\n    f()\ndef h():\n    library.run(f)\n"
    graph = graph_of(a=text)
    assert call_graph(graph)["a.g"] == {"a.f": Confidence.EXACT}
    assert call_graph(graph)["a.h"] == {"a.f": Confidence.MAY}
    assert call_graph(graph, at_least=Confidence.INFERRED)["a.h"] == {}


def test_lambdas_are_numbered_where_they_stand():
    graph = graph_of(a="def f():\n    x = lambda: (lambda: 1)\n    y = lambda: 2\nz = lambda: 3\n")
    assert list(call_graph(graph)) == [
        "a", "a.<lambda1>", "a.f", "a.f.<lambda1>", "a.f.<lambda1>.<lambda1>", "a.f.<lambda2>",
    ]  # fmt: skip


@pytest.mark.parametrize("graph", [BYTELM, AWKWARD], ids=["bytelm", "awkward"])
def test_json_loses_nothing(graph):
    text = write(graph, Format.JSON)
    nodes, edges = read_json(text)
    assert (nodes, edges) == (dict(graph.nodes), tuple(graph.edges))
    assert list(nodes) == list(graph.nodes)
    view = networkx.node_link_graph(json.loads(text), edges="edges")
    known = to_networkx(graph)
    assert (view.adj, view.nodes) == (known.adj, known.nodes)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"graph": {"schema": "codegraft/graph", "version": 0}}', '{"graph": 1}']
)
def test_a_json_that_is_no_export_is_refused_in_one_line(text):
    with pytest.raises(GraphError, match=r"^export: "):
        read_json(text)


@pytest.mark.parametrize("graph", [BYTELM, AWKWARD], ids=["bytelm", "awkward"])
@pytest.mark.parametrize(
    ("form", "reader"), [(Format.GRAPHML, networkx.read_graphml), (Format.GEXF, networkx.read_gexf)]
)
def test_xml_forms_are_read_back_with_every_attribute(graph, form, reader):
    read = reader(io.BytesIO(write(graph, form).encode()))
    assert (read.number_of_nodes(), read.number_of_edges()) == (len(graph.nodes), len(graph.edges))
    for slot, node in graph.nodes.items():
        if slot in read:
            facts = read.nodes[slot]
            assert (facts["kind"], facts["start_byte"], facts["end_byte"]) == (node.kind.value, node.start, node.end)
    kinds = sorted(facts["kind"] for *_, facts in read.edges(data=True))
    assert kinds == sorted(edge.kind.value for edge in graph.edges)


def test_gexf_does_not_say_when_it_was_written():
    assert "lastmodified" not in write(BYTELM, Format.GEXF)


@pytest.mark.parametrize("graph", [BYTELM, AWKWARD], ids=["bytelm", "awkward"])
def test_dot_quotes_whatever_a_slot_holds(graph):
    lines = write(graph, Format.DOT).rstrip("\n").split("\n")
    quoted = r'"(?:[^"\\]|\\.)*"'
    node = re.compile(rf"  {quoted} \[label={quoted} shape=\w+ class={quoted}\];")
    edge = re.compile(rf"  {quoted} -> {quoted} \[label={quoted} style=\w+\];")
    assert (lines[0], lines[-1]) == ("digraph codegraft {", "}")
    assert sum(bool(node.fullmatch(line)) for line in lines) == len(graph.nodes)
    assert sum(bool(edge.fullmatch(line)) for line in lines) == len(graph.edges)
    assert len(lines) == len(graph.nodes) + len(graph.edges) + 3


def test_mermaid_is_drawn_between_definitions():
    lines = write(graph_of(a="class B: ...\nclass C(B): ...\ndef f():\n    C()\n"), Format.MERMAID).splitlines()
    assert lines[0] == "flowchart LR"
    assert lines[3:] == [
        '  n0["a:B"]',
        '  n1["a:C"]',
        '  n2["a:f"]',
        "  n1 -->|inherits| n0",
        "  n2 -->|instantiates| n1",
    ]


def test_mermaid_says_what_it_left_out():
    functions = "".join(f"def f{i}():\n    f{(i * 7) % 60}(), f{(i * 11 + 1) % 60}()\n" for i in range(60))
    calls = "".join(f"def g{i}():\n    " + ", ".join(f"f{j}()" for j in range(i, i + 8)) + "\n" for i in range(50))
    text = write(graph_of(a=functions + calls), Format.MERMAID)
    drawn = [line for line in text.splitlines() if "-->" in line]
    assert len(drawn) == MERMAID_EDGES
    assert re.search(r"%% 400 edges; left out, the least sure first: \d+ \(\d+ calls\)", text)


@pytest.mark.parametrize("form", list(Format))
def test_a_part_and_the_whole_are_written_the_same_way_every_time(form):
    only = {slot for slot, node in BYTELM.nodes.items() if node.path == "layers.py"}
    assert write(BYTELM, form) == write(BYTELM, form)
    assert 0 < len(write(BYTELM, form, only=only)) < len(write(BYTELM, form))


def ask(*arguments, cwd=None):
    """Run `codegraft graph` as a person does."""
    command = [Path(sys.executable).with_name("codegraft"), "graph", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_calls_are_json_and_nothing_else_also_where_a_file_is_broken(tmp_path):
    (tmp_path / "main.py").write_text("def f(): ...\nf()\nprint(1)\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    done = ask(tmp_path, "--calls")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"main": ["<builtin>.print", "main.f"], "main.f": []}
    for broken in ("broken", "latin"):
        assert json.loads(ask(tmp_path, "--node", broken, "--json").stdout)["kind"] == "error"
        assert ask(tmp_path, "--node", f"{broken}.py:1").stdout == f"{broken}.py:1  {broken}  error {broken}\n"


def test_a_single_file_is_a_program():
    done = ask("targets/bytelm/layers.py", "--calls", "--at-least", "exact")
    assert "layers.Block.forward" in json.loads(done.stdout)
    assert ask("targets/bytelm/nothing.py").returncode == 2


def test_an_unknown_slot_is_one_line_with_what_is_near_and_exit_code_2():
    done = ask("bytelm", "--node", "layers:MLP.forwad")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("codegraft: layers:MLP.forwad: is no node of the graph; near it: layers:MLP.forward")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ((), "unresolved ("),
        (("--node", "layers.py:55"), "in       calls (inferred by module-call) layers:Block.forward"),
        (("--context", "layers.MLP.forward", "--tokens", "60"), "def forward(self"),
        (("--slice", "layers:MLP.forward/stmt.return"), "layers:MLP.forward/stmt.h"),
        (("--slice", "config:ModelConfig/attr.n_embd", "--forward"), "layers:MLP.__init__/stmt.fc"),
        (("--impact", "config:ModelConfig"), "exact    layers.py"),
        (("--find", "MLP.*"), ""),
        (("--way", "train", "model.GPT.forward"), "-> model:GPT.forward"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) and value else None,
)
def test_every_question_is_answered_for_people_and_programs(question, words):
    people, programs = ask("bytelm", *question), ask("bytelm", *question, "--json")
    assert (people.returncode, programs.returncode) == (0, 0)
    assert words in people.stdout
    json.loads(programs.stdout)


def test_what_was_asked_for_is_drawn_alone(tmp_path):
    done = ask("bytelm", "--impact", "config:ModelConfig", "--format", "mermaid", "--out", tmp_path / "impact.mmd")
    assert done.returncode == 0
    assert (tmp_path / "impact.mmd").read_text().startswith("flowchart LR\n%% ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--calls", "--format", "dot"), "--calls: has no form dot; choose text or json"),
        (("--calls", "--node", "train"), "--node and --calls: are different questions; ask one at a time"),
        (("--node", ""), ": is no node of the graph"),
        (("--forward",), "--forward: says nothing without --slice"),
        (("--find", "x", "--at-least", "may"), "--at-least: says nothing without --calls or --slice or --way"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(options, words):
    done = ask("bytelm", *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr


def test_calls_are_printed_from_inferred_on_unless_told(tmp_path):
    (tmp_path / "a.py").write_text("import library\ndef f(): ...\nlibrary.run(f)\n")
    assert json.loads(ask(tmp_path, "--calls").stdout) == {"a": ["library.run"], "a.f": []}
    assert json.loads(ask(tmp_path, "--calls", "--at-least", "may").stdout)["a"] == ["a.f", "library.run"]
    assert json.loads(ask("bytelm", "--calls", "--at-least", "exact").stdout)["layers.MLP.forward"] == [
        "torch.nn.functional.gelu"
    ]


def test_nothing_found_is_said_and_no_error(tmp_path):
    (tmp_path / "a.py").write_text("def f(): ...\n")
    for question, words in ((("--find", "g"), "no node is called that"), (("--way", "a:f", "a"), "no way of edges")):
        done = ask(tmp_path, *question)
        assert (done.returncode, done.stdout) == (0, "")
        assert words in done.stderr
    drawn = ask(tmp_path, "--find", "f", "--format", "mermaid").stdout
    assert drawn.splitlines()[1:] == [
        "%% 1 definitions of 1 nodes; statements, names, literals and externals are left out", "%% 0 edges", '  n0["a:f"]',
    ]  # fmt: skip


def test_a_trial_of_a_campaign_is_a_program(tmp_path):
    store, settings = ObjectStore(tmp_path), Settings("/nowhere", "d", "toy", "loss", "minimize", "random", 0, 2, 1, 2)
    first = store.commit({"a.py": b"def f(): ...\n"}, None, "baseline")
    second = store.commit({"a.py": b"def f(): ...\nf()\n"}, first, "edit")
    with Ledger.create(tmp_path, settings) as ledger:
        ledger.add_proposal(Proposal(3, 0, (parse_edit("drop-statement@a:f"),), "s", second))
    assert [open_program(f"{tmp_path}@{trial}").snapshot.files["a.py"] for trial in (0, 3, "best")] == [
        b"def f(): ...\n", b"def f(): ...\nf()\n", b"def f(): ...\n",
    ]  # fmt: skip
    with pytest.raises(
        TargetError, match="@4: is no trial of the campaign; it has 0 to 3, best, or shrunk where there is one"
    ):
        open_program(f"{tmp_path}@4")
