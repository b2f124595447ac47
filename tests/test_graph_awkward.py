"""Sources that nobody writes on purpose: the graph is built, quickly, the same each time, and says nothing that is not so."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from graph.build import build_graph
from graph.export import Format, write
from graph.model import Confidence, EdgeKind, NodeKind, Rule
from graph.snapshot import Snapshot, python_files, read_snapshot

ROOT = Path(__file__).parent.parent
CASES = ROOT / "tests" / "cases" / "graph"
LIMIT_S = 5.0  # CPU seconds; each of these takes milliseconds, and what does not end would take for ever

GROWING = {
    "attribute of itself": "x = y\nfor i in z:\n    x = x.f\nx()\n",
    "list of itself": "l = []\nwhile l:\n    l = [l]\nfor a in l:\n    for b in a:\n        b()\n",
    "partial of itself": "from functools import partial\ndef f(*a): ...\nfor i in z:\n    f = partial(f, f)\nf()\n",
    "partial at a parameter": "from functools import partial\ndef g(f):\n    return g(partial(f, f))\ng(g)\n",
    "containers of each other": "a, b = [], {}\na.append(b)\nb['a'] = a\na.append(a)\nb['b'] = b\na[0]['a'][0]['b']()\n",
    "tuple of itself": "t = ()\nfor i in z:\n    t = (t, t, [t])\nfor u, v, w in t:\n    u()\n    w[0]()\n",
    "dictionary of itself": "d = {}\nfor i in z:\n    d = {**d, 'd': d, 'e': [d]}\nd['d']['e'][0]()\n",
    "string of itself": "s = ''\nfor i in z:\n    s = s + 'x' + s\ngetattr(s, s)()\n",
    "number that counts": "n = 0\nd = {0: print}\nwhile n < 10:\n    n += 1\n    n = n + 1\n    d[n] = d[n - 1]\nd[n]()\n",
    "list that grows": "l = [print]\nwhile l:\n    l = l + l\n    l = l + [l]\n    l = l[1:]\nl[0]()\n",
    "function that returns itself": "def f(): return f\nf()()()()\n",
    "function of its result": "def f(x): return f(f(x))\nf(f)(f)(f)\n",
    "lambda of itself": "f = lambda x: f(lambda y: x(f))\nf(f)\n",
    "wrapper of itself": "class W:\n    def __init__(self, x): self.x = x\n    def __call__(self): return W(W(self.x))\n"
        "w = W(1)\nfor i in z:\n    w = W(w)\nw()()\n",
    "attributes of each other": "class A: ...\na, b = A(), A()\na.b = b\nb.a = a\na.c = a.b.a.b\na.c.a.b()\n",
    "decorator of itself": "def d(f): return d(f)\n@d\n@d\ndef g(): ...\nd = d(d)\n@d\ndef h(): ...\nh()\n",
    "super of itself": "class A:\n    def f(self): return super().f()\nclass B(A):\n    def f(self): return super().f()\nB().f()\n",
    "getattr that delegates to itself": "class A:\n    def __getattr__(self, n): return getattr(self, n)\nA().x.y.z()\n",
    "generator of itself": "def g():\n    yield from g()\n    yield g()\nfor a in g():\n    for b in a:\n        b()\n",
    "bound method as an attribute": "class A:\n    def f(self): self.f = self.f\n    def g(self): self.g = [self.g, self.f]\nA().g()\n",
    "module that holds itself": "import a\na.a = a\na.a.a.f = a.a\na.a.f.a()\n",
    "sequence of itself": "import torch.nn as nn\nx = nn.Sequential()\nfor i in z:\n"
        "    x = nn.Sequential(x, nn.ModuleList([x]))\nx()\nx[0][1][0]()\n",
    "names of itself": "for n in vars():\n    globals()[n] = globals()[n]\nexec(n)\n",
    "metaclass": "class M(type):\n    def __call__(cls): return cls\nclass A(metaclass=M): ...\nA()()()\n",
}  # fmt: skip

CLASSES = {
    "its own base by name": {"a.py": "class A(A):\n    def f(self): return self.g()\nA().f()\n"},
    "its own base from a star": {"a.py": "from b import *\nclass A(A): ...\nA().f()\n", "b.py": "class A:\n    def f(self): ...\n"},
    "its own base by import": {"a.py": "from b import A\nclass A(A): ...\n", "b.py": "from a import A\nclass A(A): ...\n"},
    "bases of each other": {"a.py": "class A(B): ...\nclass B(A):\n    def f(self): ...\nA().f()\nB().g()\n"},
    "bases of each other between files": {
        "a.py": "from b import B\nclass A(B):\n    def f(self): super().f()\n",
        "b.py": "from c import C\nclass B(C):\n    def f(self): super().f()\n",
        "c.py": "from a import A\nclass C(A):\n    def f(self): super().f()\nC().f().x\n",
    },
    "the same base twice": {"a.py": "class B: ...\nclass A(B, B):\n    def f(self): self.f()\nA().f()\n"},
    "no order of bases": {"a.py": "class X: ...\nclass A(X): ...\nclass B(X, A):\n    def f(self): ...\nB().f()\n"},
    "base in itself": {"a.py": "class A(A.B):\n    class B(A): ...\nA().f()\n"},
    "three hundred bases": {"a.py": "class C0:\n    def f(self): ...\n" + "".join(f"class C{i + 1}(C{i}): ...\n"
        "" for i in range(300)) + "C300().f()\n"},
    "base that is a call": {"a.py": "class A(f(), *g, metaclass=h, **k): ...\nA()\n"},
}  # fmt: skip

IMPORTS = {
    "star imports of each other": {"a.py": "from b import *\nf()\n", "b.py": "from a import *\ndef f(): f()\n"},
    "star import of itself": {"a.py": "from a import *\nf()\n"},
    "star imports of three": {"a.py": "from b import *\n", "b.py": "from c import *\n", "c.py": "from a import *\nx()\n"},
    "a package that stars its parts that star it": {
        "p/__init__.py": "from .q import *\nfrom p import *\n",
        "p/q.py": "from . import *\nfrom .. import *\nfrom .q import *\ng()\n",
    },
    "names of each other": {"a.py": "from b import x\nx()\n", "b.py": "from a import x\nx()\n"},
    "__all__ of what is not there": {"a.py": "from b import *\ng()\n", "b.py": "__all__ = ['g', 'h', 1]\n__all__ += a\n"},
    "beyond the root": {"a.py": "from .... import x\nfrom ....b import y\nx()\ny()\n"},
    "a file and a folder of one name": {"a.py": "import b\nb.f()\n", "b.py": "def f(): ...\n", "b/__init__.py": "def f(): ...\n"},
    "names that are no names": {"a-b.py": "f()\n", "1.py": "x = 1\n", "a b/c d.py": "def f(): ...\nf()\n", "class.py": "f = 1\n"},
}  # fmt: skip

BYTES = {
    "nothing": b"",
    "one blank": b" ",
    "no line end": b"def f(): ...\nf()",
    "BOM": b"\xef\xbb\xbfdef f(): ...\nf()\n",
    "CRLF": b"def f():\r\n    return 1\r\nf()\r\n",
    "CR": b"def f():\r    return 1\rf()\r",
    "form feed": b"\x0cdef f(): ...\n\x0c\nf()\n",
    "tabs": b"def f():\n\tif 1:\n\t\treturn 1\nf()\n",
    "backslashes": b"def f(): \\\n  ...\nf \\\n (\\\n)\n",
    "semicolons": b"def f(): 1; 2; 3\nf(); f(); x = f()\n",
    "latin-1 by its cookie": b"# -*- coding: latin-1 -*-\ndef f(): return '\xe9'\nf()\n",
    "no UTF-8": b"def f(): return '\xe9'\nf()\n",
    "a null": b"def f(): ...\n\x00f()\n",
    "a lone surrogate": b"x = '\\ud800'\nx.f()\n",
    "names beyond ASCII": "class Größe:\n    def ﬁ(self): ...\nGröße().fi()\n".encode(),
    "only a comment": b"# nothing",
    "only a docstring": b'"""nothing"""',
    "tabs and blanks mixed": b"if 1:\n        x = 1\n\ty = 2\n",
    "conflict": b"<<<<<<< a\nx = 1\n=======\nx = 2\n>>>>>>> b\n",
    "Python 2": b"print 'hello'\n",
    "cut off": b"def f(:\n    x = (1,\n",
}

LONG = {
    "many lines": "def f(): ...\n" + "f()\n" * 8_000,
    "many functions": "".join(f"def f{i}(x): return f{i - 1}(x)\n" for i in range(1, 1_500)),
    "a long line": "x = [" + "f(), " * 5_000 + "]\n",
    "many names": "".join(f"x{i} = x{i - 1}\n" for i in range(5_000)),
    "one name": "x = f\n" + "if x: x = g\n" * 200 + "x()\n",
    "deep expression": "x = " + "(" * 90 + "f" + ")" * 90 + "\n",
    "deep calls": "x = " + "f(" * 80 + ")" * 80 + "\n",
    "deep lists": "x = " + "[" * 90 + "f" + "]" * 90 + "\nx" + "[0]" * 90 + "()\n",
    "deep blocks": "".join(" " * i + "if x:\n" for i in range(90)) + " " * 90 + "f()\n",
    "deep functions": "".join(" " * i + f"def f{i}():\n" for i in range(90)) + " " * 90 + "return f0\n",
    "deep classes": "".join(" " * i + f"class C{i}:\n" for i in range(90)) + " " * 90 + "x = 1\n",
    "deep loops": "".join(" " * i + f"for a{i} in b:\n"
        "" for i in range(18)) + " " * 18 + "".join(f"a{i} = a{i - 1}" + "; " for i in range(1, 18)) + "\n",
    "a long chain": "x = a" + ".b" * 900 + "()\n",
    "a long sum": "x = " + " + ".join(["a()"] * 900) + "\n",
    "many values at one call": "".join(f"def f{i}(): ...\n"
        "" for i in range(500)) + "fs = [" + ", ".join(f"f{i}" for i in range(500)) + "]\nfor f in fs: f()\n",
}  # fmt: skip


def check(files):
    """Build a graph within the limit, and say what holds for every graph."""
    start = time.process_time()
    graph = build_graph(
        Snapshot({path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()})
    )
    edges, nodes = graph.edges, graph.nodes
    assert time.process_time() - start < LIMIT_S
    assert {edge.source for edge in edges} | {edge.target for edge in edges} <= nodes.keys()
    assert len({edge[:3] for edge in edges}) == len(edges)
    for path, file in graph.files.items():
        assert all(node.path == path and 0 <= node.start <= node.end <= len(file.data) for node in file.nodes)
        assert len(file.by_slot) == len(file.nodes)
    for edge in edges:
        assert isinstance(edge.confidence, Confidence)
        if edge.kind in (EdgeKind.CALLS, EdgeKind.INSTANTIATES):
            assert Rule(edge.rule)
            assert nodes[edge.source].path
        if edge.kind is EdgeKind.UNRESOLVED:
            assert edge.target.startswith("?")
        if edge.kind is EdgeKind.INHERITS:
            assert edge.source != edge.target
    answered = {
        edge.source for edge in edges if edge.kind in (EdgeKind.CALLS, EdgeKind.INSTANTIATES, EdgeKind.UNRESOLVED)
    }
    assert {node.slot for node in graph.of_kind(NodeKind.CALL)} <= answered
    return graph


@pytest.mark.parametrize("source", GROWING.values(), ids=GROWING.keys())
def test_values_that_grow_from_themselves_end(source):
    graph = check({"a.py": source})
    assert not graph.files["a.py"].error


@pytest.mark.parametrize("source", GROWING.values(), ids=GROWING.keys())
def test_values_that_grow_from_themselves_end_inside_a_function(source):
    indented = "".join(f"    {line}\n" for line in source.splitlines())
    check({"a.py": f"def run(z, y):\n{indented}run(1, 2)\n"})


@pytest.mark.parametrize("files", CLASSES.values(), ids=CLASSES.keys())
def test_bases_that_go_round_end(files):
    check(files)


def test_a_class_whose_bases_go_round_still_has_its_methods():
    graph = check({"a.py": "class A(B):\n    def f(self): ...\nclass B(A):\n    def g(self): ...\nA().f()\nB().g()\n"})
    assert "a:A.f" in graph.targets("a:/call.f", EdgeKind.CALLS)
    assert "a:B.g" in graph.targets("a:/call.g", EdgeKind.CALLS)


@pytest.mark.parametrize("files", IMPORTS.values(), ids=IMPORTS.keys())
def test_imports_that_go_round_end(files):
    check(files)


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES.keys())
def test_any_bytes_are_a_file_or_an_error_and_the_rest_stands(data):
    graph = check({"a.py": data, "b.py": "def g(): ...\ng()\n"})
    assert graph.targets("b:/call.g", EdgeKind.CALLS) == ("b:g",)
    error = graph.files["a.py"].error
    if error:
        assert error.startswith("a.py:")
        assert graph.nodes["a"].kind is NodeKind.ERROR
    elif b"def f()" in data:
        assert graph.targets("a:/call.f", EdgeKind.CALLS) == ("a:f",)


@pytest.mark.parametrize("source", LONG.values(), ids=LONG.keys())
def test_long_and_deep_sources_end(source):
    check({"a.py": source})


def test_a_file_that_does_not_parse_takes_its_names_with_it_and_nothing_else():
    graph = check(
        {"a.py": "def f(:\n", "b.py": "from a import f\nfrom c import g\nf()\ng()\n", "c.py": "def g(): ...\n"}
    )
    assert not graph.targets("b:/call.f", EdgeKind.CALLS)
    assert graph.targets("b:/call.g", EdgeKind.CALLS) == ("c:g",)


def _repositories():
    for folder in sorted(CASES.iterdir()):
        paths = sorted(
            p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"
        )
        yield read_snapshot(folder, [path for path in paths if path != "expected.txt"])


def test_the_order_of_files_does_not_matter():
    for snapshot in _repositories():
        turned = Snapshot(dict(reversed(snapshot.files.items())))
        assert write(build_graph(snapshot), Format.JSON) == write(build_graph(turned), Format.JSON)


PRINT_DIGESTS = """
import hashlib, sys
from pathlib import Path
from graph.build import build_graph
from graph.export import Format, write
from graph.snapshot import read_snapshot
for folder in sorted(Path(sys.argv[1]).iterdir()):
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")
    graph = build_graph(read_snapshot(folder, [path for path in paths if path != "expected.txt"]))
    print(folder.name, hashlib.sha256(write(graph, Format.JSON).encode()).hexdigest())
"""


def test_the_seed_of_hashes_does_not_matter():
    said = {
        subprocess.run(
            [sys.executable, "-c", PRINT_DIGESTS, CASES],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(said) == 1


def test_targets_hold_what_every_graph_holds():
    for root in (path.parent for path in (ROOT / "targets").glob("*/codegraft.toml")):
        check(read_snapshot(root, python_files(root)).files)


def test_a_name_that_is_unwrapped_again_and_again_is_followed_once():
    steps = "".join(f"if hasattr(model, 'x{i}'):\n    model = model.x{i}\n" for i in range(12))
    text = f"import torch\nclass Net(torch.nn.Module): ...\nmodel = Net()\n{steps}model.eval()\n"
    graph = build_graph(Snapshot({"a.py": text.encode()}))
    assert "a:/call.eval" in graph.nodes
