"""The algebra of patches, and the check that an edit leaves its surroundings alone."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mutator.edit import Edit, EditError, parse_edit
from mutator.expected import fill, keeps_surroundings
from mutator.patch import Replacement, compose, make_patch


@st.composite
def files_and_patch(draw, data=None):
    data = draw(st.binary(max_size=40)) if data is None else data
    found = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 6)))
        found.append(("a", Replacement(start, data[start:end], draw(st.binary(max_size=5)))))
    try:
        return {"a": data}, make_patch(found)
    except EditError:
        assume(False)


@given(files_and_patch())
def test_a_patch_and_its_inverse_restore_the_bytes(case):
    files, patch = case
    assert patch.invert().apply({**files, **patch.apply(files)}) == {path: files[path] for path in patch.paths}


@given(st.data())
def test_composing_two_patches_is_applying_one_after_the_other(data):
    files, first = data.draw(files_and_patch())
    middle = {**files, **first.apply(files)}
    _, second = data.draw(files_and_patch(middle["a"]))
    final = {**middle, **second.apply(middle)}
    assert {**files, **compose(first, second, files).apply(files)} == final


def test_two_replacements_of_the_same_bytes_are_a_conflict_and_never_dropped():
    with pytest.raises(EditError, match="touch byte 2"):
        make_patch([("a", Replacement(0, b"abc", b"x")), ("a", Replacement(2, b"c", b"y"))])
    with pytest.raises(EditError, match="touch byte 1"):
        make_patch([("a", Replacement(1, b"", b"x")), ("a", Replacement(1, b"", b"y"))])


def test_a_patch_refuses_bytes_that_it_does_not_expect():
    patch = make_patch([("a", Replacement(0, b"abc", b"x"))])
    with pytest.raises(EditError, match="holds b'abd', the patch expects b'abc'"):
        patch.apply({"a": b"abd"})
    with pytest.raises(EditError, match="is not in the snapshot"):
        patch.apply({})


scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.from_regex(r"[A-Za-z0-9_. '&=#?%@/]{1,9}", fullmatch=True),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), scalars, max_size=3))
def test_an_edit_prints_and_parses_back(choice):
    edit = Edit("scale-literal", "pkg.mod:A.f/literal.lr.2", tuple(sorted(choice.items())), "0123abcd")
    parsed = parse_edit(edit.uri)
    assert parsed == edit
    assert [type(value) for _, value in parsed.choice] == [type(value) for _, value in edit.choice]


@pytest.mark.parametrize("text", ["", "scale", "@a", "kind@", "Kind@a:b", "kind@a#xyz"])
def test_what_is_no_edit_is_refused_in_one_line(text):
    with pytest.raises(EditError, match="is no edit"):
        parse_edit(text)


@pytest.mark.parametrize(
    ("template", "holes", "result"),
    [
        ("{left} * {right}", {"left": "a", "right": "b + c"}, "a * (b + c)"),
        ("{left} + {right}", {"left": "a", "right": "b * c"}, "a + b * c"),
        ("{left} - {right}", {"left": "a", "right": "b - c"}, "a - (b - c)"),
        ("0.5 * {x}", {"x": "lambda: 1"}, "0.5 * (lambda: 1)"),
        ("{betas}[0]", {"betas": "a or b"}, "(a or b)[0]"),
    ],
)
def test_holes_are_wrapped_only_where_they_would_fall_apart(template, holes, result):
    assert fill(template, **holes) == result


@pytest.mark.parametrize(
    ("source", "start", "old", "new", "keeps"),
    [
        (b"y = x * 2\n", 4, b"x", b"z", True),
        (b"y = x * 2\n", 4, b"x", b"a + b", False),
        (b"y = x * 2\n", 4, b"x", b"(a + b)", True),
        (b"f(a)\n", 3, b"", b", b=1", True),
        (b"f(a)\n", 2, b"a", b"a): pass", False),
        (b"if a:\n    b\nc\n", 10, b"\n", b"\n    ", False),
    ],
)
def test_surroundings_are_kept_or_the_check_says_so(source, start, old, new, keeps):
    assert keeps_surroundings(source, (Replacement(start, old, new),)) is keeps
