"""Cutting a file block by block finds the statements that parsing the whole of it finds."""

import ast
import random
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.units import _ends, _ends_by_blocks

HERE = Path(__file__).parent.parent
STDLIB = Path(ast.__file__).parent
FILES = [*sorted((HERE / "graph").glob("*.py")), *sorted((HERE / "targets" / "bytelm").glob("*.py"))]
FILES += [
    STDLIB / name
    for name in ("textwrap.py", "heapq.py", "argparse.py", "typing.py", "locale.py", "doctest.py", "this.py")
]


def whole(text: str) -> tuple[int, ...] | None:
    """What a parse of the whole text says; None where there is no such parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _ends(ast.parse(text))
        except (SyntaxError, ValueError):
            return None


def check(text: str) -> bool:
    """Whether the text was cut by blocks; if so, it was cut right."""
    found = _ends_by_blocks(text)
    if found is not None:
        assert found == whole(text)
    return found is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_files_are_cut_by_blocks(path):
    assert check(path.read_text())


PARTS = (
    "x = 1", "y = (1,", "2)", ")", "]", "s = '''", '"""', "'''", "text", "if x:", "    pass", "else:", "elif y:", "try:", "except E:",
    "finally:", "@d", "def f():", "    return 1", "  # in", "# out", "", "x = 1 \\", "a; b", "class C: pass", "match x:", "    case 1:",
    "        y", "async def g(): pass", "\f", "\tz", "for i in r: i", "while 1: break", "x = '''a", "b''' + \"c\"", "print('\"\"\"')",
    "lambda: 0", "{", "}", "k: v", "with a: b", "import os", "\x0cx = 2", "é = 1", "f'''{x", "}'''", "x = 1; y = [", "] ; z", "\0",
)  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=14), st.sampled_from(["\n", ""]))
def test_any_lines_are_cut_as_a_whole_parse_cuts_them(lines, end):
    check("\n".join(lines) + end)


@pytest.mark.parametrize("path", FILES[::5], ids=lambda path: path.name)
def test_a_damaged_file_is_cut_right_or_not_at_all(path):
    text, rng = path.read_text(), random.Random(path.name)
    for _ in range(15):
        at, cut = rng.randrange(len(text)), rng.choice([0, 0, 1, 3, 20])
        put = rng.choice(["", '"""', "'''", "(", ")", "\n", "\\\n", "#", ":", "'", "else:\n", "    "])
        check(text[:at] + put + text[at + cut :])
