"""Keys of nodes survive edits elsewhere, and the key map says what became of the rest."""

import pytest

from graph.build import build_graph
from graph.identity import key_map, node_keys, statement_keys
from graph.model import NodeKind
from graph.snapshot import Snapshot

SOURCE = """import torch

rate = 0.1
rate = 0.1
class Model:
    width = 4
    def forward(self, x):
        y = x * 2
        y = x * 2
        return torch.relu(y)
def train():
    model = Model()
    model.forward(1)
train()
"""


def graph_of(text, **others):
    return build_graph(
        Snapshot({"a.py": text.encode(), **{f"{name}.py": data.encode() for name, data in others.items()}})
    )


def keys_by_text(text):
    graph = graph_of(text)
    return {key: graph.text(node) for key, node in statement_keys(graph.files["a.py"]).items()}


@pytest.mark.parametrize(
    "inserted",
    [
        "# a comment\n",
        "\n\n\n",
        "import os\n",
        "def other():\n    return torch.relu(1)\n",
        "class Model2:\n    width = 4\n",
        "x = 1; y = 2\n",
    ],
    ids=["comment", "blank lines", "import", "function", "class", "two on a line"],
)
def test_every_key_survives_what_is_inserted_above(inserted):
    before, after = keys_by_text(SOURCE), keys_by_text(inserted + SOURCE)
    assert {key: after.get(key) for key in before} == before


def test_a_key_survives_an_edit_of_the_statement_beside_it():
    before, after = keys_by_text(SOURCE), keys_by_text(SOURCE.replace("model = Model()", "model = Model().eval()"))
    gone = before.keys() - after.keys()
    assert [before[key] for key in gone] == ["model = Model()"]


def test_a_key_survives_moving_functions():
    head, _, rest = SOURCE.partition("class Model:")
    body, _, tail = rest.partition("def train():")
    tail = tail.removesuffix("train()\n")
    moved = f"{head}def train():{tail}class Model:{body}train()\n"
    assert keys_by_text(moved) == keys_by_text(SOURCE)


def test_equal_statements_of_a_scope_get_ordinals_in_their_order():
    keys = [key for key, text in keys_by_text(SOURCE).items() if text in ("rate = 0.1", "y = x * 2")]
    assert len(keys) == 4
    for first, second in (keys[:2], keys[2:]):
        assert second == f"{first}.1"


def test_the_same_statement_in_two_scopes_has_two_keys():
    keys = [key for key, text in keys_by_text("def f():\n    x = 1\ndef g():\n    x = 1\n").items() if text == "x = 1"]
    assert len(set(keys)) == 2
    assert all(key.startswith(scope) for key, scope in zip(keys, ("a:f", "a:g"), strict=True))


def test_all_nodes_of_a_file_have_a_key_of_their_own():
    file = graph_of(SOURCE).files["a.py"]
    assert list(node_keys(file).values()) == list(file.nodes)


def test_the_key_map_says_what_was_kept_what_died_and_what_was_born():
    before = graph_of(SOURCE, b="x = 1\n")
    after = graph_of(
        SOURCE.replace("        y = x * 2\n", "", 1).replace("rate = 0.1\n", "import os\nrate = 0.1\n", 1), c="x = 1\n"
    )
    found = key_map(before, after)
    statements = {slot for slot, node in before.nodes.items() if node.kind is NodeKind.STATEMENT}
    assert {slot for slot in found.died if slot in statements and slot.startswith("a:")} == {"a:Model.forward/stmt.y.1"}
    assert {"b", "b:/stmt.x"} <= set(found.died)
    assert {"a:/stmt.import", "c", "c:/stmt.x"} & set(found.born) >= {"c", "c:/stmt.x"}
    assert all(
        before.text(before.nodes[old]) == after.text(after.nodes[new])
        for old, new in found.kept.items()
        if old in statements
    )
    assert not set(found.kept) & set(found.died)
    assert not set(found.kept.values()) & set(found.born)
    assert {*found.kept, *found.died} >= {node.slot for path in before.files for node in before.files[path].nodes}


def test_the_key_map_follows_a_slot_that_moved():
    """The second `f()` of a scope has the slot `call.f.1`; it becomes the first when another statement goes."""
    before, after = graph_of("x = f(1)\ny = f(2)\n"), graph_of("y = f(2)\n")
    found = key_map(before, after)
    assert found.kept["a:/call.f.1"] == "a:/call.f"
    assert "a:/call.f" in found.died


def test_the_key_map_does_not_look_at_files_that_stayed():
    before = graph_of(SOURCE, b="x = 1\n")
    after = build_graph(before.snapshot.with_files({"b.py": b"x = 2\n"}, edit="b"), previous=before)
    found = key_map(before, after)
    assert {slot.partition(":")[0] for slot in (*found.kept, *found.died, *found.born)} == {"b"}
