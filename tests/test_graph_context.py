"""The context of a site: what it shows, that it parses, that it keeps under its cap, and what it says of itself."""

import ast
import re
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.build import build_graph
from graph.context import context
from graph.model import NodeKind
from graph.outline import Level
from graph.snapshot import GraphError, Snapshot
from graph.tokens import count_tokens
from harness.sources import open_sources

BYTELM = open_sources("bytelm").graph


def graph_of(**sources):
    return build_graph(Snapshot({f"{name}.py": dedent(text).encode() for name, text in sources.items()}))


def lines_of(text):
    """The lines without the places that they came from."""
    lines = (re.sub(r"\s*# \w+\.py:\d+$", "", line) for line in text.splitlines())
    return [line for line in lines if line.strip()]


SMALL = graph_of(
    config="""
        from dataclasses import dataclass
        @dataclass
        class Config:
            width: int = 8
            depth: int = 2
        """,
    tools="""
        import math, sys
        def norm(x, *, eps=1e-6):
            return x / math.sqrt(x * x + eps)
        def unused(): ...
        """,
    model="""
        from __future__ import annotations
        import math
        import sys
        from tools import norm, unused
        from config import Config
        LIMIT = 3
        OTHER = 4
        class Base:
            def scale(self, x):
                return x
        class Net(Base):
            def __init__(self, config: Config):
                self.config = config
                self.gain = 2.0
                self.idle = 1
            def forward(self, x):
                y = norm(x) * self.gain  # scaled
                return self.scale(y) * LIMIT + self.config.width
            def extra(self, a, b): return a
        """,
)


def test_a_method_shows_its_class_its_imports_its_constants_and_what_it_calls():
    found = context(SMALL, "model:Net.forward")
    assert lines_of(found.text) == [
        "@dataclass",
        "class Config:",
        "    width: int = 8",
        "def norm(x, *, eps=1e-6): ...",
        "from tools import norm",
        "LIMIT = 3",
        "class Base:",
        "    def scale(self, x): ...",
        "class Net(Base):",
        "    def __init__(self, config: Config):",
        "        self.config = config",
        "        self.gain = 2.0",
        "        ...",
        "    def forward(self, x):",
        "        y = norm(x) * self.gain  # scaled",
        "        return self.scale(y) * LIMIT + self.config.width",
        "    def extra(self, a, b): return a",
    ]
    assert (found.names_declared, found.names_total, found.dropped) == (8, 8, ())


def test_every_definition_says_where_it_stands():
    found = context(SMALL, "model:Net.forward")
    for part in found.parts:
        if part.name in ("Config", "norm", "forward", "scale"):
            assert f"# {part.path}:{part.line}" in found.text
            node = next(n for n in SMALL.nodes.values() if n.label == part.name and n.path == part.path)
            assert SMALL.line(node) == part.line


def test_tokens_before_and_after_are_told():
    found = context(SMALL, "model:Net.forward")
    assert found.used_tokens == count_tokens(found.text)
    assert found.full_tokens == -(-sum(map(len, SMALL.snapshot.files.values())) // 4)
    assert found.used_tokens < found.full_tokens


def test_a_site_inside_a_function_has_the_context_of_the_function():
    call = next(n.slot for n in SMALL.of_kind(NodeKind.CALL) if n.label == "norm")
    assert context(SMALL, call).text == context(SMALL, "model:Net.forward").text


def test_a_nested_function_sees_what_encloses_it():
    graph = graph_of(
        a="""
        def outer(scale):
            shift = 1
            other = 2
            def inner(x):
                return x * scale + shift
            return inner
        """
    )
    found = context(graph, "a:outer.inner")
    assert lines_of(found.text) == [
        "def outer(scale):", "    shift = 1", "    ...", "    def inner(x):", "        return x * scale + shift", "    ...",
    ]  # fmt: skip
    assert (found.names_declared, found.names_total) == (3, 3)


def test_a_block_of_a_script_comes_with_the_slice_that_it_needs():
    graph = graph_of(
        a="""
        import time, os
        steps = 4
        rate = steps * 2
        idle = 5
        loss = 0
        def train(i):
            return i
        for i in range(rate):
            loss = train(i)
            print(loss, time.time())
        done = True
        """
    )
    found = context(graph, "a:/call.train")
    assert lines_of(found.text) == [
        "import time", "steps = 4", "rate = steps * 2", "loss = 0", "def train(i): ...", "for i in range(rate):",
        "    loss = train(i)", "    print(loss, time.time())",
    ]  # fmt: skip
    assert found.names_declared == found.names_total


LONG = graph_of(
    a="import torch\ndef f(a):\n    start = a + 1\n"
    + "".join(f"    x{i} = a * {i}  # {'long ' * 8}\n" for i in range(40))
    + "    if a:\n        y = start\n        return torch.exp(y)\n    elif x1:\n        z = 1\n    return x39\n"
)


def test_a_function_over_the_cap_keeps_the_statements_nearest_to_the_site_and_binds_the_others():
    found = context(LONG, "a:f/call.exp", max_tokens=70)
    assert lines_of(found.text)[:3] == ["import torch", "def f(a):", "    start = a + 1"]
    assert re.search(r"^    x1 = .*\.\.\.$", found.text, re.MULTILINE)
    assert "    if a:\n        y = start\n        return torch.exp(y)\n" in found.text
    assert found.names_declared == found.names_total
    assert 0 < found.used_tokens <= 70


def test_what_does_not_fit_is_shortened_then_dropped_and_named():
    whole = context(SMALL, "model:Net.forward")
    small = context(SMALL, "model:Net.forward", max_tokens=whole.used_tokens - 20)
    assert small.dropped
    assert small.names_declared == small.names_total
    assert {part.level for part in whole.parts} >= {Level.BODY, Level.SIGNATURE}


def test_what_is_wanted_first_is_what_the_site_names():
    tight = context(SMALL, "model:Net.forward", max_tokens=110)
    assert "def forward(self, x):" in tight.text
    assert "extra" not in tight.text


@pytest.mark.parametrize("cap", [0, 1, 3, 10, 30, 100, 10**6])
def test_the_cap_holds_for_every_node_and_what_is_kept_parses(cap):
    for graph in (SMALL, LONG):
        for slot in [slot for slot, node in graph.nodes.items() if node.path][::7]:
            found = context(graph, slot, max_tokens=cap)
            ast.parse(found.text)
            assert count_tokens(found.text) == found.used_tokens <= cap


SITES = [slot for slot, node in BYTELM.nodes.items() if node.path]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SITES), st.integers(0, 4000))
def test_the_cap_holds_on_a_real_target_and_the_same_question_has_the_same_answer(slot, cap):
    found = context(BYTELM, slot, max_tokens=cap)
    ast.parse(found.text)
    assert count_tokens(found.text) == found.used_tokens <= cap
    assert context(BYTELM, slot, max_tokens=cap) == found


def test_every_function_of_a_target_sees_what_it_names():
    for node in BYTELM.of_kind(NodeKind.FUNCTION):
        found = context(BYTELM, node.slot)
        assert found.names_declared >= 0.95 * found.names_total, node.slot


AWKWARD = {
    "semicolons": "a = 1; b = 2; c = 3\ndef f(): x = a; return x + b\n",
    "one line": "def f(): return g()\ndef g(): return 1\nclass C: x = 1\nif 1: y = 2\nelse: y = f()\n",
    "elif": "import os\ndef f(a):\n    if a: return 1\n    elif os: return 2\n    else:\n        b = 3\n    return b\n",
    "tabs": "def f(a):\n\tif a:\n\t\tx = g(a)\n\telse:\n\t\tx = 2\n\treturn x\ndef g(a):\n\treturn a\n",
    "crlf": "def f(a):\r\n    x = '''\r\nb\r\n'''\r\n    return g(x)\r\ndef g(a):\r\n    return a\r\n",
    "strings": (
        "def f(a):\n    x = '''\nno indent\n    def g(): (\n'''\n    return x + g(a)\ndef g(a):\n    return '''\n'''\n"
    ),
    "decorated": (
        "def d(x): return x\n@d\n@(\n  d\n)\nclass C:\n    @property\n    def p(self): # why\n"
        "        # more\n        return self.q\n    @d\n    def q(self): ...\n"
    ),
    "headers": (
        "def f(\n    a,  # one\n    b=(1,\n       2),\n):  # colon\n    # comment\n    return g(\n"
        "        a)\ndef g(a): return f(a, a)\n"
    ),
    "match": (
        "import os\ndef f(a):\n    match a:\n        case [x, *rest]: return rest\n"
        "        case {'k': v, **more}:\n            y = v\n        case os.sep:\n            y = more\n"
        "    return y\n"
    ),
    "try": (
        "try:\n    import fast as m\nexcept ImportError:\n    m = None\nelse:\n    k = m\nfinally:\n"
        "    z = 1\ndef f():\n    try:\n        return m, k\n    except (ValueError, TypeError) as e:\n"
        "        return e\n    finally:\n        print(z)\n"
    ),
    "loops": (
        "for i in range(3):\n    j = i\nelse:\n    j = 4\nwith open('x') as h, open('y'): k = h\nwhile j:\n"
        "    j -= 1\nx = [j for j in (i, k)]\n"
    ),
    "async": (
        "import asyncio\nasync def f(a):\n    async with a as b:\n        async for c in b:\n"
        "            await c\n    return await asyncio.sleep(1)\nx = lambda: f(x)\n"
    ),
    "global": (
        "n = 0\ndef f():\n    global n\n    n += 1\n    def g():\n        nonlocal_ = n\n"
        "        return nonlocal_\n    return g\n"
    ),
    "continued": "def f(a):\n    x = a + \\\n        1\n    if x and \\\n       a:\n        return x\n    return 2\n",
    "docstring": 'def f():\n    """Say."""\nclass C:\n    """Say."""\n    def m(self): return self.n\n',
    "star": "from other import *\nfrom os.path import *\ndef f():\n    return g() + join('a')\n",
    "unicode": "ñ = 'é' * 3\ndef f(): return ñ if ñ else '☃'\n",
    "form feed": "a = 1\n\x0c\ndef f():\n    return a\n",
    "empty": "",
}


@pytest.mark.parametrize("source", AWKWARD.values(), ids=AWKWARD)
def test_awkward_sources_are_shortened_into_python(source):
    graph = graph_of(a=source, other="def g(): return 1\n")
    graph = build_graph(Snapshot({**graph.snapshot.files, "a.py": source.encode()}))
    for slot, node in graph.nodes.items():
        for cap in (0, 10, 20, 30, 45, 60, 3000):
            if node.path:
                found = context(graph, slot, max_tokens=cap)
                ast.parse(found.text)
                assert found.used_tokens <= cap
                assert found.names_declared <= found.names_total


def test_what_a_star_import_brings_is_found_where_it_is_defined():
    graph = graph_of(a=AWKWARD["star"], other="def g(y=1):\n    return y\n")
    assert "from other import *" in context(graph, "a:f").text


def test_a_file_that_does_not_parse_says_why_and_an_external_has_no_context():
    graph = graph_of(bad="def f(:\n", good="print(1)\n")
    assert context(graph, "bad").text.startswith("# bad.py:1: ")
    assert context(graph, "bad", max_tokens=2).text == ""
    with pytest.raises(GraphError, match=r"builtins\.print: stands in no Python file"):
        context(graph, "builtins.print")
    with pytest.raises(GraphError, match="nothing: stands in no Python file"):
        context(graph, "nothing")


def test_the_context_of_a_class_is_its_body_or_its_members():
    assert "        self.idle = 1\n" in context(SMALL, "model:Net").text
    small = context(SMALL, "model:Net", max_tokens=100).text
    assert "    def forward(self, x): ...  # model.py:17\n" in small
    assert "def extra" in small
