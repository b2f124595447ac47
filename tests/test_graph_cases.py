"""One folder per language or machine-learning feature: a few files, one sentence, and exactly the edges that it must have."""

from pathlib import Path

import pytest

from graph.build import build_graph
from graph.snapshot import read_snapshot

CASES = Path(__file__).parent / "cases" / "graph"
FOLDERS = sorted(path.parent.relative_to(CASES).as_posix() for path in CASES.rglob("expected.txt"))


@pytest.mark.parametrize("case", FOLDERS)
def test_a_feature_folder_has_exactly_the_edges_that_it_expects(case):
    folder = CASES / case
    _, compared, *expected = (folder / "expected.txt").read_text().splitlines()
    kinds = compared.removeprefix("@ ").split()
    files = [
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"
    ]
    graph = build_graph(read_snapshot(folder, sorted(set(files) - {"expected.txt"})))
    found = {
        f"{edge.kind} {edge.source} -> {edge.target}"
        for edge in graph.edges
        if edge.kind in kinds and not edge.target.startswith("builtins.")
    }
    assert sorted(found) == sorted(expected)
