import ast
import io
import random
import symtable
import time
import tokenize
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.complexity import Complexity, complexity
from graph.features import Features, _count_module, _count_units, canonical_digest, distance, features
from graph.reader import count_unit
from graph.snapshot import GraphError
from graph.units import _block_ends, _known, _names, _paths, _read_module, _read_unit, tree_of

HERE = Path(__file__).parent.parent
STDLIB = Path(ast.__file__).parent
SOURCES = {
    **{path: (HERE / path).read_text() for path in ("graph/units.py", "graph/reader.py", "mutator/patch.py")},
    **{f"{name}.py": (STDLIB / f"{name}.py").read_text() for name in ("textwrap", "heapq", "bisect", "cmd", "shlex")},
}
MODEL = """
import math
import torch
import torch.nn.functional as F
from torch import nn

WIDTH = 64
LR = 3e-4

class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        h = F.relu(self.up(x)).square()
        return x + self.down(h)

def schedule(step, n_steps):
    frac = step / n_steps
    if frac < 0.1:
        return frac * 10
    return 0.5 * (1 + math.cos(math.pi * frac))

def train(model, batches):
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.1)
    for step, batch in enumerate(batches):
        logits = model(batch)
        loss = F.cross_entropy(logits, batch)
        loss.backward()
        optimizer.step()
    return loss

train(MLP(WIDTH), [])
"""


def forget() -> None:
    for cache in (
        count_unit,
        _count_module,
        _count_units,
        _block_ends,
        _known,
        _names,
        _paths,
        _read_module,
        _read_unit,
        tree_of,
    ):
        cache.cache_clear()


def moved(before: str, after: str) -> float:
    return distance(features({"a.py": before.encode()}), features({"a.py": after.encode()}))


def same(before: str, after: str) -> bool:
    return canonical_digest({"a.py": before.encode()}) == canonical_digest({"a.py": after.encode()})


def edited(old: str, new: str) -> str:
    assert MODEL.count(old) == 1
    return MODEL.replace(old, new)


def rename(source: str, old: str, new: str, *, first: int = 1, last: int = 10**9) -> str:
    """Rename by tokens between two lines."""
    lines = source.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        line, start = token.start
        if token.type == tokenize.NAME and token.string == old and first <= line <= last:
            lines[line - 1] = lines[line - 1][:start] + new + lines[line - 1][token.end[1] :]
    return "".join(lines)


def names_with_a_meaning(source: str) -> set[str]:
    """The words that are more than a variable somewhere: attributes, keywords, parameters, imports, methods, parts of a text."""
    words: set[str] = {"locals", "vars", "eval", "exec", "dir"}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.keyword(arg=str(name)) | ast.arg(arg=name):
                words.add(name)
            case ast.alias(name=name, asname=alias):
                words |= {*name.split("."), alias or name}
            case ast.ClassDef(body=body):
                words |= {method.name for method in body if isinstance(method, ast.FunctionDef)}
            case ast.JoinedStr():
                words |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return words


def renamable_locals(source: str) -> list[tuple[str, int, int]]:
    """Variables of one function, with its first and last line, by CPython's own symbol table."""
    taken = names_with_a_meaning(source)
    functions = {node.lineno: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    tables, found = [symtable.symtable(source, "a.py", "exec")], []
    while tables:
        table = tables.pop()
        tables += table.get_children()
        node = functions.get(table.get_lineno())
        if node is not None and table.get_name() == node.name:
            variables = [s for s in table.get_symbols() if s.is_local() and not s.is_namespace()]
            found += [(s.get_name(), node.lineno, node.end_lineno) for s in variables if s.get_name() not in taken]
    return found


@pytest.mark.parametrize("path", SOURCES)
def test_renaming_any_local_moves_nothing(path):
    source = SOURCES[path]
    chosen = renamable_locals(source)
    assert chosen
    for name, first, last in random.Random(path).sample(chosen, min(6, len(chosen))):
        renamed = rename(source, name, "renamed_local", first=first, last=last)
        assert renamed != source
        assert moved(source, renamed) == 0.0, name
        assert same(source, renamed), name


@pytest.mark.parametrize("path", SOURCES)
def test_renaming_any_function_class_or_variable_of_a_module_moves_nothing(path):
    source = SOURCES[path]
    taken = names_with_a_meaning(source)
    globals_ = [
        s.get_name()
        for s in symtable.symtable(source, "a.py", "exec").get_symbols()
        if s.is_assigned() or s.is_namespace()
    ]
    chosen = [name for name in globals_ if name not in taken and name != "__all__"]
    assert chosen
    for name in random.Random(path).sample(chosen, min(5, len(chosen))):
        renamed = rename(source, name, "renamed_global")
        assert moved(source, renamed) == 0.0, name
        assert not same(source, renamed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("F", "functional"),
        ("MLP", "Block"),
        ("schedule", "warm_up"),
        ("LR", "lr_"),
        ("frac", "t"),
        ("model", "net"),
        ("x", "residual"),
    ],
)
def test_renaming_in_a_training_script_moves_nothing(old, new):
    renamed = rename(MODEL, old, new)
    assert renamed != MODEL
    assert moved(MODEL, renamed) == 0.0


def binds(node: ast.AST) -> bool:
    return any(isinstance(each, ast.NamedExpr) for each in ast.walk(node))


class Swap(ast.NodeTransformer):
    """Exchanges the operands of commutative operators."""

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, (ast.Add, ast.Mult, ast.BitOr, ast.BitAnd, ast.BitXor)) and not binds(node):
            node.left, node.right = node.right, node.left
        return node

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        if not binds(node):
            node.values.reverse()
        return node


class Annotate(ast.NodeTransformer):
    """Adds docstrings, annotations and statements that are only text."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        for argument in node.args.args:
            argument.annotation = ast.parse("dict[str, numpy.ndarray]", mode="eval").body
        node.returns = ast.parse("scipy.sparse.csr_matrix | None", mode="eval").body
        node.body = [*ast.parse("'What this does.'").body, *node.body, *ast.parse("'text'").body]
        return node

    def visit_Assign(self, node):
        if len(node.targets) > 1 or not isinstance(node.targets[0], ast.Attribute):
            return node
        return ast.AnnAssign(node.targets[0], ast.parse("collections.deque", mode="eval").body, node.value, simple=0)


def rewritten(source: str, transformer: ast.NodeTransformer) -> str:
    return ast.unparse(ast.fix_missing_locations(transformer.visit(ast.parse(source))))


def commented(source: str) -> str:
    """Put a comment and an empty line below each logical line."""
    ends = {t.start[0] for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.NEWLINE}
    lines = source.splitlines(keepends=True)
    return "".join(line + "# a remark\n\n" * (number in ends) for number, line in enumerate(lines, 1))


@pytest.mark.parametrize("path", SOURCES)
def test_formatting_and_comments_move_nothing(path):
    source = SOURCES[path]
    for changed in (ast.unparse(ast.parse(source)), source.replace("\n", "\r\n"), commented(source)):
        assert moved(source, changed) == 0.0
        assert same(source, changed)


@pytest.mark.parametrize("path", SOURCES)
def test_docstrings_annotations_and_the_order_of_commutative_operands_move_nothing(path):
    source = SOURCES[path]
    assert moved(source, rewritten(source, Swap())) == 0.0
    assert moved(source, rewritten(source, Annotate())) == 0.0


NOTHING = {
    "a docstring": edited("def train(model, batches):", 'def train(model, batches):\n    """Train."""'),
    "an import that nothing uses": edited("import torch\n", "import torch\nimport scipy.signal\n"),
    "another style of import": edited("import torch.nn.functional as F", "from torch.nn import functional as F"),
    "an import inside the function": edited(
        "    h = F.relu(self", "    import torch.nn.functional as G\n        h = G.relu(self"
    ),
    "code behind a return": edited(
        "    return loss\n", "    return loss\n    for _ in range(9):\n        torch.compile(model)\n"
    ),
    "an annotation": edited("LR = 3e-4", "LR: float = 3e-4"),
    "a literal inside its half octave": edited("weight_decay=0.1", "weight_decay=0.095"),
    "two independent statements": edited("import math\nimport torch\n", "import torch\nimport math\n"),
    "a product": edited("frac * 10", "10 * frac"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_at_distance_nothing(name):
    assert NOTHING[name] != MODEL
    assert moved(MODEL, NOTHING[name]) == 0.0


SOMETHING = {
    "a literal": (edited("3e-4", "6e-4"), 0.1, 0.4),
    "a literal in a deep expression": (edited("0.5 * (1 +", "2.0 * (1 +"), 0.1, 0.4),
    "the sign of a literal": (edited("3e-4", "-3e-4"), 0.1, 0.4),
    "a text": (edited("weight_decay=0.1)", "weight_decay=0.1, foreach='a')"), 0.1, 2.0),
    "a flag": (edited("super().__init__()", "super().__init__()\n        self.training = False"), 0.1, 2.0),
    "the order of a difference": (edited("step / n_steps", "n_steps / frac"), 0.1, 2.0),
    "an operator": (edited("x + self.down(h)", "x - self.down(h)"), 0.3, 5.0),
    "a comparison": (edited("frac < 0.1", "frac > 0.1"), 0.5, 5.0),
    "a callee": (edited("F.relu(self.up(x)).square()", "F.gelu(self.up(x))"), 2.0, 8.0),
    "an optimizer": (edited("torch.optim.AdamW", "torch.optim.NAdam"), 2.0, 8.0),
    "a function of the sources": (edited("train(MLP(WIDTH), [])", "train(schedule(1, 2), [])"), 0.5, 8.0),
    "a loop": (
        edited("        optimizer.step()", "        for _ in range(2):\n            optimizer.step()"),
        2.0,
        8.0,
    ),
    "a branch": (edited("        optimizer.step()", "        if step:\n            optimizer.step()"), 2.0, 8.0),
    "a comprehension": (edited("[])\n", "[b for b in ()])\n"), 2.0, 8.0),
    "a library": (
        edited("    return loss", "    import scipy.signal\n    scipy.signal.find_peaks([])\n    return loss"),
        4.0,
        10.0,
    ),
}


@pytest.mark.parametrize("name", SOMETHING)
def test_what_is_a_step_and_how_large(name):
    changed, least, most = SOMETHING[name]
    assert least <= moved(MODEL, changed) <= most
    assert not same(MODEL, changed)


def test_the_first_occurrence_counts_most():
    def with_loops(n: int) -> str:
        return MODEL + "for _ in range(9):\n    print(LR)\n" * n

    steps = [moved(with_loops(n), with_loops(n + 1)) for n in range(12)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 4 * steps[11] > 0


class Change(ast.NodeTransformer):
    """Changes one node: doubles its number, or turns its sum into a difference."""

    def __init__(self, index: int) -> None:
        self.index = index

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.Add):
            self.index -= 1
            if self.index == -1:
                node.op = ast.Sub()
        return self.generic_visit(node)

    def visit_Call(self, node):
        for place, argument in enumerate(node.args):
            if isinstance(argument, ast.Constant) and type(argument.value) in (int, float) and argument.value:
                self.index -= 1
                if self.index == -1:
                    node.args[place] = ast.Constant(argument.value * 2)
        return self.generic_visit(node)


@pytest.mark.parametrize("path", SOURCES)
def test_a_doubled_number_or_another_operator_is_always_a_step(path):
    steps = []
    for index in range(5):
        changed = rewritten(SOURCES[path], change := Change(index))
        if change.index < 0:
            steps.append(moved(SOURCES[path], changed))
            assert not same(SOURCES[path], changed)
    assert steps
    assert all(0.0 < step < 6.0 for step in steps)


VERSIONS = [
    features({"a.py": text.encode()})
    for text in (MODEL, *NOTHING.values(), *(text for text, _, _ in SOMETHING.values()))
]
KEYS = ["import torch", "control module>for", "call print", "operator Add", "edge a>b", "shape f00", "literal x 3"]
COUNTS = st.dictionaries(st.sampled_from(KEYS), st.integers(1, 10**6))
ANY = st.one_of(st.sampled_from(VERSIONS), COUNTS.map(lambda counts: Features((counts,))))


@given(ANY, ANY, ANY)
def test_the_distance_is_a_pseudo_metric(a, b, c):
    assert distance(a, a) == 0.0
    assert distance(a, b) == distance(b, a) >= 0.0
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-9


PACKAGE = {
    "train.py": "from lib.layers import MLP\nfrom lib import layers\nlayers.MLP(2)\nprint(MLP(3), layers.scale(4))\n",
    "lib/__init__.py": "from .layers import MLP, scale\n",
    "lib/layers.py": "from torch import nn\n\nclass MLP(nn.Module):\n    pass\n\ndef scale(x):\n    return x * 2\n",
}


def count(files: dict[str, str]) -> Features:
    return features({path: text.encode() for path, text in files.items()})


def test_renaming_across_files_moves_nothing():
    for old in ("MLP", "scale"):
        renamed = {path: rename(text, old, "other") for path, text in PACKAGE.items()}
        assert distance(count(PACKAGE), count(renamed)) == 0.0


def test_the_way_a_name_is_imported_from_the_sources_moves_nothing():
    through_package = {**PACKAGE, "train.py": PACKAGE["train.py"].replace("lib.layers import MLP", "lib import MLP")}
    assert distance(count(PACKAGE), count(through_package)) == 0.0
    by_module = {
        **PACKAGE,
        "train.py": "from lib import layers\nlayers.MLP(2)\nprint(layers.MLP(3), layers.scale(4))\n",
    }
    assert distance(count(PACKAGE), count(by_module)) == 0.0


def test_moving_a_function_to_another_file_moves_nothing():
    whole = {"a.py": "def f(x):\n    return [y * 2 for y in x]\n\nprint(f([]))\n", "b.py": ""}
    split = {"a.py": "from b import f\nprint(f([]))\n", "b.py": "def f(x):\n    return [y * 2 for y in x]\n"}
    assert distance(count(whole), count(split)) == 0.0


def test_features_do_not_depend_on_what_was_read_before():
    expected = [features({"a.py": text.encode()}) for text in SOURCES.values()]
    forget()
    assert [features({"a.py": text.encode()}) for text in reversed(SOURCES.values())] == expected[::-1]


def test_a_shipped_target_moves_by_its_edits_and_not_by_its_names():
    files = {path.name: path.read_bytes() for path in (HERE / "targets" / "bytelm").glob("*.py")}
    before = features(files)
    assert {"import torch.nn", "control def>while"} <= before.counts.keys()
    for path in ("layers.py", "train.py", "optim.py"):
        source = files[path].decode()
        for name, first, last in renamable_locals(source)[:3]:
            renamed = rename(source, name, "renamed_local", first=first, last=last).encode()
            assert distance(before, features({**files, path: renamed})) == 0.0
            assert canonical_digest({**files, path: renamed}) == canonical_digest(files)
    edited_layers = {**files, "layers.py": files["layers.py"].replace(b" * ", b" / ", 1)}
    assert edited_layers != files
    assert distance(before, features(edited_layers)) > 0.5
    assert canonical_digest(edited_layers) != canonical_digest(files)


def test_an_edit_of_one_unit_costs_a_fraction_of_a_first_reading():
    files = {path: text.encode() for path, text in SOURCES.items()}
    seconds = {"first": [], "edit": []}
    for round_ in range(5):
        forget()
        for kind, changed in (
            ("first", files),
            ("edit", {**files, "heapq.py": files["heapq.py"] + b"print(%d)\n" % round_}),
        ):
            start = time.process_time()
            features(changed)
            seconds[kind].append(time.process_time() - start)
    assert min(seconds["edit"]) < 0.25 * min(seconds["first"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"def f(:\n", "a.py: does not parse: invalid syntax"),
        (b"x = 1\0\n", "a.py: does not parse: .*null"),
        (b"x = '\xe9'\n", "a.py: does not parse"),
        (b"# coding: klingon\n", "a.py: does not parse: unknown encoding"),
        (b"  x = 1\n", "a.py: does not parse: unexpected indent"),
        (b"x = " + b"1 + " * 3000 + b"1\n", "a.py: is nested too deeply|a.py: does not parse"),
    ],
)
def test_a_file_that_does_not_parse_is_one_line(data, said):
    for read in (features, complexity, canonical_digest):
        with pytest.raises(GraphError, match=said) as caught:
            read({"a.py": data})
        assert "\n" not in str(caught.value)


def test_odd_encodings_and_newlines_are_read_as_python_reads_them():
    plain = features({"a.py": "x = 'é'\nprint(x)\n".encode()})
    for data in (
        "\ufeffx = 'é'\nprint(x)\n".encode(),
        "# coding: latin-1\nx = 'é'\nprint(x)\n".encode("latin-1"),
        "x = 'é'\r\nprint(x)".encode(),
        "x = 'é'; print(x)".encode(),
    ):
        assert features({"a.py": data}) == plain
    assert features({"a.py": b"x = '\\d'\n"}).counts  # an invalid escape warns nobody


SAME = {
    "a docstring alone": ("def f():\n    'text'\n", "def f():\n    pass\n"),
    "spelling of numbers": ("lr = 1e-3\nn = 1_000\n", "lr = 0.001\nn = 1000\n"),
    "quotes and parentheses": ("f('a', (b))\n", 'f("a", b,)\n'),
    "a target": ("def f():\n    for i in r:\n        use(i)\n", "def f():\n    for j in r:\n        use(j)\n"),
    "a comprehension": ("x = [x for x in x]\n", "x = [y for y in x]\n"),
    "a closure": (
        "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n    return g\n",
        "def f():\n    m = 0\n    def g():\n        nonlocal m\n        m += 1\n    return g\n",
    ),
    "a handler": ("def f():\n    try:\n        g()\n    except E as e:\n        h(e)\n",) * 2,
    "a pattern": (
        "def f(x):\n    match x:\n        case [a, *b] | {'k': a, **b}:\n            return a, b\n",
        "def f(x):\n    match x:\n        case [c, *d] | {'k': c, **d}:\n            return c, d\n",
    ),
    "a class in a function": (
        "def f():\n    a = 1\n    class C:\n        b = a\n        def m(self):\n            return a\n",
        "def f():\n    z = 1\n    class C:\n        b = z\n        def m(self):\n            return z\n",
    ),
    "walrus": (
        "def f(r):\n    return [y for x in r if (y := x)]\n",
        "def f(r):\n    return [w for v in r if (w := v)]\n",
    ),
    "with": ("def f():\n    with g() as a:\n        a()\n", "def f():\n    with g() as b:\n        b()\n"),
}
DIFFERENT = {
    "a literal": ("lr = 3e-4\n", "lr = 3.1e-4\n"),
    "a type of number": ("n = 1\n", "n = 1.0\n"),
    "a flag for a number": ("n = 1\n", "n = True\n"),
    "commuted operands": ("x = a * b\n", "x = b * a\n"),
    "a parameter": ("def f(a):\n    return a\n", "def f(b):\n    return b\n"),
    "a parameter of a lambda": ("f = lambda a: a\n", "f = lambda b: b\n"),
    "an annotation": ("class C:\n    x: int\n", "class C:\n    x: float\n"),
    "a variable of the module": ("a = 1\n", "b = 1\n"),
    "a global": ("def f():\n    global a\n    a = 1\n", "def f():\n    global b\n    b = 1\n"),
    "a field": ("class C:\n    a = 1\n", "class C:\n    b = 1\n"),
    "an attribute": ("def f(x):\n    x.a = 1\n", "def f(x):\n    x.b = 1\n"),
    "which local": ("def f():\n    a, b = g()\n    return a - b\n", "def f():\n    a, b = g()\n    return b - a\n"),
    "a local or a global": ("def f():\n    a = 1\n    return a\n", "def f():\n    b = 1\n    return a\n"),
    "a shadowed local": (
        "def f():\n    a = 1\n    return lambda a: a\n",
        "def f():\n    a = 1\n    return lambda b: a\n",
    ),
    "a field or the local around it": (
        "def f():\n    x = 1\n    class C:\n        x = 2\n        def m(self):\n            return x\n",
        "def f():\n    y = 1\n    class C:\n        x = 2\n        def m(self):\n            return x\n",
    ),
    "a name that is shown": (
        "def f():\n    a = 1\n    return locals()\n",
        "def f():\n    b = 1\n    return locals()\n",
    ),
    "a name in a text": ("def f():\n    a = 1\n    return f'{a=}'\n", "def f():\n    b = 1\n    return f'{b=}'\n"),
    "an empty else": ("while x:\n    y()\n", "while x:\n    y()\nelse:\n    z()\n"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_canonical_digest_forgets(name):
    assert same(*SAME[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_canonical_digest_remembers(name):
    assert not same(*DIFFERENT[name])


def test_the_canonical_digest_names_all_files():
    one = {"a.py": b"x = 1\n", "notes.txt": b"hello"}
    digest = canonical_digest(one)
    assert digest == canonical_digest(dict(reversed(one.items())))
    assert digest == canonical_digest({**one, "a.py": b"# one\nx=1"})
    for other in ({**one, "notes.txt": b"bye"}, {**one, "b.py": b""}, {"b.py": b"x = 1\n", "notes.txt": b"hello"}, {}):
        assert canonical_digest(other) != digest


# Source -> (cyclomatic, cognitive), by hand from McCabe 1976 and Campbell 2018.
BY_HAND = {
    "": (0, 0),
    "x = 1\n": (0, 0),
    "def f():\n    pass\n": (1, 0),
    "def f(x):\n    if x:\n        return 1\n": (2, 1),
    "if x:\n    pass\nelif y:\n    pass\nelse:\n    pass\n": (2, 3),
    "if x:\n    pass\nelse:\n    if y:\n        pass\n": (2, 2),
    "if x:\n    if y:\n        if z:\n            pass\n": (3, 6),
    "if x:\n    pass\nif y:\n    pass\nif z:\n    pass\n": (3, 3),
    "for x in y:\n    if x:\n        break\nelse:\n    pass\n": (3, 4),
    "while x and y and z:\n    pass\n": (3, 2),
    "x = a and b or c and not d\n": (3, 3),
    "x = 1 if y else 2 if z else 3\n": (2, 3),
    "try:\n    f()\nexcept A:\n    if x:\n        pass\nexcept B:\n    pass\nelse:\n    pass\nfinally:\n    pass\n": (
        4,
        4,
    ),
    "try:\n    f()\nexcept* A:\n    pass\n": (1, 1),
    "match x:\n    case 1 | 2:\n        pass\n    case [a] if a:\n        pass\n    case _:\n        pass\n": (4, 1),
    "match x:\n    case y if y:\n        pass\n": (1, 1),
    "with a, b:\n    pass\n": (0, 0),
    "assert x\n": (1, 0),
    "x = [a for a in b if a if c]\n": (3, 3),
    "x = {a: b for a in c for b in a}\n": (2, 2),
    "x = [a if b else c for a in d]\n": (2, 3),
    "f = lambda x: x if x else 0\n": (1, 2),
    "def f(x):\n    def g(y):\n        if y:\n            return x\n    return g\n": (3, 2),
    "class C:\n    def m(self, n):\n        return self.m(n - 1) if n else 0\n": (2, 2),
    "def f(n):\n    return f(n - 1)\n": (1, 1),
    "async def f(x):\n    async for y in x:\n        async with y:\n            await y\n": (2, 1),
}


@pytest.mark.parametrize("source", BY_HAND)
def test_complexity_is_what_one_counts_by_hand(source):
    counted = complexity({"a.py": source.encode()})
    assert (counted.cyclomatic, counted.cognitive) == BY_HAND[source]


def measure(source: str) -> Complexity:
    return complexity({"a.py": source.encode()})


def more_complex(after: Complexity, before: Complexity) -> bool:
    return after.cyclomatic > before.cyclomatic and after.cognitive > before.cognitive and after.nodes > before.nodes


@pytest.mark.parametrize("path", SOURCES)
def test_a_branch_is_seen_wherever_it_is_added(path):
    before = measure(SOURCES[path])
    n_blocks = sum(isinstance(getattr(node, "body", None), list) for node in ast.walk(ast.parse(SOURCES[path])))
    for index in random.Random(path).sample(range(n_blocks), min(6, n_blocks)):
        tree = ast.parse(SOURCES[path])
        block = [node for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)][index]
        block.body.append(ast.parse("if added:\n    pass").body[0])
        assert more_complex(measure(ast.unparse(ast.fix_missing_locations(tree))), before)


class Hide(ast.NodeTransformer):
    """Hides a branch in the expression of one statement."""

    def __init__(self, index: int, hidden: str) -> None:
        self.index, self.hidden = index, hidden

    def visit_Return(self, node):
        self.index -= 1
        if self.index == -1:
            node.value = ast.parse(self.hidden, mode="eval").body
        return node


@pytest.mark.parametrize(
    "hidden", ["a if b else c", "a and b", "(lambda: a or b)()", "[a for a in b]", "sum(1 for a in b if a)"]
)
def test_a_branch_that_hides_in_an_expression_is_seen(hidden):
    for path in ("heapq.py", "textwrap.py", "graph/reader.py"):
        plain = measure(rewritten(SOURCES[path], Hide(2, "a")))
        assert more_complex(measure(rewritten(SOURCES[path], Hide(2, hidden))), plain)


def test_straight_line_bloat_is_seen_by_the_nodes():
    assert measure(MODEL + "x = 1\n" * 50).nodes > measure(MODEL).nodes + 100
    gated = edited("F.relu(self.up(x)).square()", "F.silu(self.up(x)) * self.gate(x)")
    assert measure(gated).nodes > measure(MODEL).nodes


def test_complexity_does_not_change_when_code_moves_or_is_documented():
    halves = {"a.py": SOURCES["heapq.py"].encode(), "b.py": SOURCES["bisect.py"].encode()}
    assert complexity(halves) == measure(SOURCES["heapq.py"] + SOURCES["bisect.py"])
    assert measure(commented(MODEL)) == measure(ast.unparse(ast.parse(MODEL))) == measure(MODEL)
    assert measure(edited("def train(model, batches):", 'def train(model, batches):\n    """Train."""')) == measure(
        MODEL
    )
