"""Complexity beside radon, the familiar counter; and that no place hides a branch."""

import ast
import random
from pathlib import Path

import pytest
from radon.complexity import cc_visit_ast
from radon.visitors import Function

from graph.complexity import Complexity, complexity

HERE = Path(__file__).parent.parent
STDLIB = Path(ast.__file__).parent
PROGRAMS = {
    **{f"bytelm/{path.name}": path.read_bytes() for path in sorted((HERE / "targets" / "bytelm").glob("*.py"))},
    **{
        name: (STDLIB / name).read_bytes()
        for name in ("textwrap.py", "heapq.py", "shlex.py", "argparse.py", "dataclasses.py")
    },
}


def measure(text: str | bytes) -> Complexity:
    return complexity({"a.py": text.encode() if isinstance(text, str) else text})


def functions_of(tree: ast.AST, own: str = "") -> dict[tuple[str, int], ast.AST]:
    """Functions and methods as radon names them; what stands inside a function belongs to it."""
    found: dict[tuple[str, int], ast.AST] = {}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name, node.lineno] = node
        else:
            found |= functions_of(node)
    return found


# Of what a function holds: closures, classes and `except*` are no part of it for radon, nor is what an `assert` says; its patterns differ.
COUNTED_OTHERWISE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.TryStar, ast.Assert, ast.Match)


def of_radon(tree: ast.AST) -> dict[tuple[str, int], int]:
    return {(f.name, f.lineno): f.complexity for f in cc_visit_ast(tree) if isinstance(f, Function)}


def same_count(node: ast.FunctionDef) -> bool:
    """Whether radon counts all of a function: it looks at bodies, not at decorators and defaults."""
    node.decorator_list, node.args.defaults, node.args.kw_defaults = [], [], [None] * len(node.args.kwonlyargs)
    return not any(isinstance(each, COUNTED_OTHERWISE) for part in node.body for each in ast.walk(part))


def test_a_function_has_the_paths_that_radon_counts_and_those_that_it_leaves_out():
    n_equal = n_more = 0
    for path, data in PROGRAMS.items():
        functions = functions_of(ast.parse(data))
        radon = {key: paths for key, paths in of_radon(ast.parse(data)).items() if key in functions}
        for key, paths in radon.items():
            counted = measure(ast.unparse(functions[key])).cyclomatic
            assert counted >= paths, (path, key)
            n_more += counted > paths
            if same_count(functions[key]):
                assert measure(ast.unparse(functions[key])).cyclomatic == paths, (path, key)
                n_equal += 1
    assert n_equal > 200
    assert n_more > 3


@pytest.mark.parametrize("path", PROGRAMS)
def test_moving_code_to_another_place_of_the_program_changes_no_figure(path):
    tree = ast.parse(PROGRAMS[path])
    whole = measure(ast.unparse(tree))
    rng = random.Random(path)
    moved_first = [*tree.body]
    rng.shuffle(moved_first)
    cut = rng.randrange(len(tree.body) + 1)
    halves = {"a.py": moved_first[:cut], "lib/b.py": moved_first[cut:]}
    assert complexity({name: ast.unparse(ast.Module(body, [])).encode() for name, body in halves.items()}) == whole


PLACES = {
    "module": "{}\n",
    "function": "def f(a, b):\n    {}\n    return a\n",
    "closure": "def f(a):\n    def g(b):\n        {}\n        return a\n    return g\n",
    "method": "class C:\n    def m(self, a, b):\n        {}\n",
    "class body": "class C:\n    a = b = 1\n    {}\n",
    "loop": "for a in b:\n    {}\n",
    "lambda": "f = lambda a, b: {}\n",
    "closure of a lambda": "f = lambda a: (lambda b: {})\n",
    "default": "def f(a={}):\n    return a\n",
    "decorator": "@g({})\ndef f():\n    pass\n",
}
BRANCHES = {"a": ["a if b else c", "(a or b)", "[a for a in b]"], "pass": ["if a: pass", "while a: pass", "assert a"]}


@pytest.mark.parametrize("place", PLACES)
def test_a_branch_is_a_path_more_in_every_place(place):
    statement = (
        PLACES[place].count(":\n") > PLACES[place].count("{}:") and "{}\n" in PLACES[place] and "lambda" not in place
    )
    plains = ["a", "pass"] if statement or place == "module" else ["a"]
    for plain in plains:
        before = measure(PLACES[place].format(plain))
        for branch in BRANCHES[plain]:
            after = measure(PLACES[place].format(branch))
            assert after.cyclomatic > before.cyclomatic, branch
            assert after.nodes > before.nodes, branch
            assert after.cognitive > before.cognitive or branch == "assert a", branch
