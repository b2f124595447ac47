"""The verification ladder: each rung refuses what it is there for, and reading only what changed misses nothing."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.build import build_graph
from graph.snapshot import Snapshot
from graph.syntax import descend
from mutator.chunks import read_code, touched
from mutator.edit import EditError
from mutator.expected import keeps_surroundings
from mutator.kind import Reason, Refused
from mutator.names import names_of
from mutator.patch import Replacement, make_patch
from mutator.verify import Rung, verify

ROOT = Path(__file__).parents[1]
CORPUS = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in sorted((ROOT / "targets").rglob("*.py"))}
CORPUS |= {
    path: (ROOT / path).read_bytes()
    for path in ("graph/snapshot.py", "mutator/patch.py", "graph/canonical.py", "mutator/edit.py")
}
GRAPH = build_graph(Snapshot(CORPUS))

SOURCE = """\
import math
import torch

LIMIT = 4


def scale(x, by=2.0):
    assert LIMIT > 3
    return x * by  # why


class Net(torch.nn.Module):
    wide = LIMIT

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, LIMIT)

    def forward(self, x):
        y = self.fc(x)
        y = scale(y)
        return y


net = Net()
total = math.sqrt(LIMIT)
"""


def check(old, new, *, source=SOURCE, count=1, **more):
    graph = build_graph(Snapshot({"a.py": source.encode()}, **more))
    assert source.count(old) == count
    return verify(
        graph, make_patch([("a.py", Replacement(source.encode().index(old.encode()), old.encode(), new.encode()))])
    )


@pytest.mark.parametrize(
    ("old", "new", "rung", "says"),
    [
        ("x * by", "x * (by", Rung.COMPILE, "does not compile"),
        ("        y = scale(y)\n", "      y = scale(y)\n", Rung.COMPILE, "does not compile"),
        ("by  # why", "by if x else by  # why", Rung.TREE, "around it"),
        ("LIMIT = 4\n", "LIMIT = 4\nfrom __future__ import annotations\n", Rung.COMPILE, "does not compile"),
        ("x * by  # why", "x * by", Rung.COMMENTS, "lose a comment"),
        ("x * by", "x * bye", Rung.NAMES, "leaves bye unbound"),
        ("import math\n", "", Rung.NAMES, "leaves math unbound"),
        ("LIMIT = 4\n", "", Rung.NAMES, "leaves LIMIT unbound"),
        ("        y = self.fc(x)\n", "", Rung.NAMES, "leaves y unbound"),
        ("LIMIT = 4\n", "LIMIT = int(total)\n", Rung.NAMES, "leaves total unbound"),
        ("    wide = LIMIT\n", "    wide = net\n", Rung.NAMES, "leaves net unbound"),
        ("self.fc(x)", "scale(x, x, x)", Rung.CALLS, r"scale\(\.\.\.\): too many positional"),
        ("self.fc(x)", "scale(x, by_=x)", Rung.CALLS, r"scale\(\.\.\.\): got an unexpected keyword argument 'by_'"),
        ("self.fc(x)", "scale()", Rung.CALLS, "missing a required argument: 'x'"),
        ("net = Net()", "net = Net(3)", Rung.CALLS, "too many positional"),
        (
            "torch.nn.Linear(2, LIMIT)",
            "torch.nn.Linear(2, LIMIT, width=3)",
            Rung.CALLS,
            "unexpected keyword argument 'width'",
        ),
        ("math.sqrt(LIMIT)", "math.sqrt(LIMIT, 2)", Rung.CALLS, "too many positional"),
        ("import math\n", "import math\nimport no_such_package\n", Rung.IMPORTS, "imports no_such_package"),
        ("import math\n", "import math\nfrom no_such_package.part import x\n", Rung.IMPORTS, "imports no_such_package"),
    ],
)
def test_each_rung_refuses_what_it_is_there_for(old, new, rung, says):
    with pytest.raises(Refused, match=says) as refused:
        check(old, new)
    assert refused.value.rung is rung


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x * by  # why", "x / by  # why"),
        ("        y = scale(y)\n", ""),
        ("        y = scale(y)\n", "        y = scale(y)\n        z = y\n"),
        ("        y = scale(y)\n", "        y = [z for z in y]\n"),
        (
            "        y = scale(y)\n",
            "        try:\n            y = scale(y)\n        except ValueError as error:\n            raise error\n",
        ),
        ("    wide = LIMIT\n", "    wide = LIMIT\n    high = wide\n"),
        ("import math\n", "import math\nimport json\n"),
        ("LIMIT = 4\n", "LIMIT = int(7)\n"),
        ("self.fc(x)", "scale(*x)"),
        ("self.fc(x)", "(lambda scale: scale(1, 2, 3))(x)"),
        ("torch.nn.Linear(2, LIMIT)", "torch.nn.Linear(2, LIMIT, bias=False)"),
        ("torch.nn.Linear(2, LIMIT)", "torch.nn.Brand_new(2, LIMIT, width=3)"),
    ],
)
def test_what_is_sound_passes(old, new):
    assert new in check(old, new)["a.py"].decode()


def test_decorators_that_change_what_a_function_takes_are_known():
    source = (
        "import contextlib\nclass A:\n    @classmethod\n    def make(cls, n): ...\n    @staticmethod\n    def sum(a, b): ...\n"
        "@wraps\ndef free(): ...\n@contextlib.contextmanager\ndef held(x): ...\ny = 1\n"
    )
    for call, fits in [
        ("A.make(1)", True), ("A.make()", False), ("A.sum(1, 2)", True), ("A.sum(1)", False), ("free(1, 2)", True), ("held(1, 2)", True),
    ]:  # fmt: skip
        graph = build_graph(Snapshot({"a.py": source.encode(), "b.py": b"from a import A, free, held\ny = 1\n"}))
        patch = make_patch([("b.py", Replacement(graph.snapshot.files["b.py"].rindex(b"1"), b"1", call.encode()))])
        if fits:
            verify(graph, patch)
        else:
            with pytest.raises(Refused, match="missing a required argument"):
                verify(graph, patch)


def test_a_call_fits_the_parameters_that_the_same_edit_adds():
    graph = build_graph(Snapshot({"a.py": SOURCE.encode()}))
    calls = Replacement(SOURCE.index("Net()\n") + 4, b"", b"depth=3")
    for at, old in (("def __init__(self", b", depth=1"), ("def __init__(self", b"")):
        place = SOURCE.index(at) + len(at)
        patch = make_patch([("a.py", calls), ("a.py", Replacement(place, b"", old))])
        if old:
            verify(graph, patch)
        else:
            with pytest.raises(Refused, match="unexpected keyword argument 'depth'"):
                verify(graph, patch)


@pytest.mark.parametrize(("value", "holds"), [(b"3", False), (b"5", True)])
def test_an_assert_of_the_sources_that_can_be_evaluated_stays_true(value, holds):
    graph = build_graph(Snapshot({"a.py": SOURCE.encode()}))
    patch = make_patch([("a.py", Replacement(SOURCE.index("4"), b"4", value))])
    if holds:
        verify(graph, patch)
    else:
        with pytest.raises(Refused, match=r"a.py:8: 'assert LIMIT > 3' would fail") as refused:
            verify(graph, patch)
        assert (refused.value.rung, refused.value.reason) == (Rung.ASSERTS, Reason.ASSERTION)


def test_names_of_a_class_are_seen_from_its_body_and_not_from_its_methods():
    source = "class A:\n    y = 2\n    z = 1\n\n    def f(self):\n        return 1\n"
    graph = build_graph(Snapshot({"a.py": source.encode()}))
    body, method = source.index("z = 1") + 4, source.index("return 1") + 7
    verify(graph, make_patch([("a.py", Replacement(body, b"1", b"y"))]))
    with pytest.raises(Refused, match="leaves y unbound"):
        verify(graph, make_patch([("a.py", Replacement(method, b"1", b"y"))]))


def test_a_name_that_another_module_imports_stays():
    sources = {"m.py": b"K = 1\nL = 2\n", "a.py": b"from m import K\nprint(K)\n"}
    graph = build_graph(Snapshot(sources))
    verify(graph, make_patch([("m.py", Replacement(6, b"L = 2\n", b""))]))
    with pytest.raises(Refused, match="leaves K unbound"):
        verify(graph, make_patch([("m.py", Replacement(0, b"K = 1\n", b""))]))


def test_stale_bytes_are_no_patch():
    graph = build_graph(Snapshot({"a.py": SOURCE.encode()}))
    with pytest.raises(EditError, match="the patch expects") as refused:
        verify(graph, make_patch([("a.py", Replacement(0, b"export", b"import"))]))
    assert refused.value.rung is Rung.BYTES


def test_frozen_and_protected_bytes_are_refused():
    with pytest.raises(Refused) as refused:
        check("LIMIT = 4", "LIMIT = 5", frozen=frozenset({"a.py"}))
    assert (refused.value.rung, refused.value.reason) == (Rung.PROTECTED, Reason.FROZEN)
    graph = build_graph(Snapshot({"a.py": SOURCE.encode()}))
    patch = make_patch([("a.py", Replacement(SOURCE.index("4"), b"4", b"5"))])
    with pytest.raises(Refused) as refused:
        verify(graph, patch, protected=frozenset({"a:/stmt.LIMIT"}))
    assert refused.value.reason is Reason.PROTECTED
    verify(graph, patch, protected=frozenset({"a:/stmt.total"}))


def test_a_broken_promise_is_refused():
    source = "def f(a, b):\n    a.backward()\n    clip(b)\n    b.step()\n"
    graph = build_graph(Snapshot({"a.py": source.encode()}))
    start = source.index("    clip(b)\n")
    gone = make_patch([("a.py", Replacement(start, b"    clip(b)\n", b""))])
    for promise in ("a:f: backward < clip < step", "a:f: once clip"):
        with pytest.raises(Refused, match=r"an edit needs `.*` there") as refused:
            verify(graph, gone, promises=(promise,))
        assert refused.value.rung is Rung.PROMISES
    kept = make_patch([("a.py", Replacement(start + 9, b"b", b"a"))])
    verify(graph, kept, promises=("a:f: backward < clip < step", "a:f: once clip"))


def compiles(code):
    try:
        compile(code, "code", "exec", dont_inherit=True)
        compile(read_code(code).tree, "code", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


PLACES = [
    (path, n)
    for path, file in GRAPH.files.items()
    for n in descend(file.tree.root_node)
    if n.is_named and n.end_byte - n.start_byte < 400
]


@settings(deadline=None, max_examples=400, derandomize=True)
@given(
    st.integers(0, len(PLACES) - 1),
    st.integers(0, len(PLACES) - 1),
    st.sampled_from(["swap", "before", "after", "line"]),
)
def test_what_the_changed_chunks_say_is_what_the_whole_file_says(first, second, how):
    (path, place), (_, other) = PLACES[first], PLACES[second]
    data = CORPUS[path]
    if how == "swap":
        r = Replacement(place.start_byte, place.text, other.text)
    elif how == "line":
        at = data.rfind(b"\n", 0, place.start_byte) + 1
        indent = data[at : place.start_byte] if not data[at : place.start_byte].strip() else b""
        r = Replacement(at, b"", indent + other.text + b"\n")
    else:
        r = Replacement(place.start_byte if how == "before" else place.end_byte, b"", b" " + other.text + b" ")
    whole = data[: r.start] + r.new + data[r.end :]
    chunks = list(touched(GRAPH.files[path], (r,)))
    if whole.rfind(b"from __future__") < r.start:  # else the ladder compiles the whole file
        sound = all(compiles(chunk.new) for chunk in chunks)
        # The only member of a class may be indented otherwise; that is refused, since nobody asked for it.
        assert sound == compiles(whole) or (not sound and how in ("before", "line"))
    if compiles(whole) and all(compiles(chunk.new) for chunk in chunks):
        assert all(keeps_surroundings(c.old, c.replacements) for c in chunks) == keeps_surroundings(data, (r,))


def test_a_chunk_is_a_member_of_its_class_or_a_statement():
    file = build_graph(Snapshot({"a.py": SOURCE.encode()})).files["a.py"]

    def chunk_of(old, new=""):
        return [c.new.decode() for c in touched(file, (Replacement(SOURCE.index(old), old.encode(), new.encode()),))]

    assert chunk_of("4", "5") == ["LIMIT = 5\n\n\n"]
    assert chunk_of("y = scale(y)", "y = x")[0].startswith("class _:\n    pass\n    def forward(self, x):")
    assert chunk_of("torch.nn.Module", "object") == ["class Net(object):\n    pass\n"]
    assert chunk_of("wide = LIMIT", "wide = 1") == ["class _:\n    pass\n    wide = 1\n\n"]


@pytest.mark.parametrize(
    ("code", "early"),
    [
        ("def f():\n    x = x\n", {"f.x"}),
        ("def f(x):\n    x = x\n", set()),
        ("def f():\n    for x in x: pass\n", {"f.x"}),
        ("def f():\n    global x\n    x = x\n", set()),
        ("def f():\n    x += 1\n", {"f.x"}),
        ("def f():\n    def g():\n        return x\n    x = 1\n    return g\n", set()),
        ("def f(y):\n    with y as x, x as z: pass\n", set()),
        ("def f():\n    y = [x for x in x]\n    x = 1\n", set()),
        ("def f(y):\n    if (x := y):\n        return x\n", set()),
        ("def f():\n    import a.b\n    return a\n", set()),
        ("def f(e):\n    try:\n        pass\n    except E as e:\n        print(e)\n", set()),
        ("def f(v):\n    match v:\n        case {'a': b, **c}:\n            return b, c\n", set()),
    ],
)
def test_locals_are_bound_before_they_are_used(code, early):
    assert names_of(code.encode()).early == early
