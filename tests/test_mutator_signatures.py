import ast
import inspect
import json
import math
from types import FunctionType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from bench.record_signatures import OUT, record, union
from mutator.signatures import binding_error, signature_from, signature_of

MAX_TABLE_BYTES = 600_000


def bind_error(path: str, *args: object, **keywords: object) -> str | None:
    return binding_error(signature_of(path), len(args), [*keywords])


def test_the_table_is_what_the_installed_torch_says():
    recorded = record()
    assert json.loads(OUT.read_text()) == recorded
    assert [*recorded] == sorted(recorded)
    assert OUT.stat().st_size < MAX_TABLE_BYTES
    assert all(signature_of(path) is not None for path in recorded)


def constructors(module, base: type) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)]


def test_what_training_code_makes_is_in_the_table():
    made = {
        *(f"torch.nn.{name}" for name in constructors(nn, nn.Module)),
        *(f"torch.optim.{name}" for name in constructors(torch.optim, torch.optim.Optimizer)),
        *(f"torch.optim.lr_scheduler.{name}" for name in torch.optim.lr_scheduler.__all__),
        *(f"torch.nn.init.{name}" for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")),
    }
    takes_anything = {f"torch.nn.{name}" for name in ("Container", "Identity", "NLLLoss2d")}
    assert {path for path in made if signature_of(path) is None} == takes_anything


def test_the_first_overload_of_every_operator_binds():
    """The schemas are another account of the same functions than the stubs that were read."""
    checked = 0
    for path in json.loads(OUT.read_text()):
        owner, _, name = path.rpartition(".")
        if owner not in ("torch", "torch.Tensor") or isinstance(getattr(eval(owner), name), (type, FunctionType)):
            continue
        for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
            if schema.overload_name == "" and path != "torch.Tensor.where":  # that one is of the function alone
                n_positional = sum(not argument.kwarg_only for argument in schema.arguments)
                needed = [a.name for a in schema.arguments if a.kwarg_only and not a.has_default_value()]
                assert binding_error(signature_of(path), n_positional, needed) is None, path
                checked += 1
    assert checked > 900


X = torch.ones(2, 3)
RIGHT = {
    "torch.sum": [((X,), {"dim": 0, "keepdim": True}), ((X,), {"axis": 0}), ((X, 0, True), {})],
    "torch.add": [((X, X), {"alpha": 2}), ((X,), {"other": 1})],
    "torch.max": [((X,), {}), ((X, X), {}), ((X, 0), {"keepdim": True}), ((X,), {"dim": 1})],
    "torch.softmax": [((X, 0), {}), ((X,), {"dim": 0}), ((X,), {"axis": -1})],
    "torch.zeros": [((2, 3), {}), (((2, 3),), {"dtype": torch.int64}), ((), {"size": (2,)})],
    "torch.arange": [((3,), {}), ((0, 3), {}), ((0, 3, 1), {"dtype": torch.float32})],
    "torch.clamp": [((X, 0, 1), {}), ((X,), {"max": 2})],
    "torch.cat": [(([X, X],), {"dim": 1}), (([X, X], 0), {})],
    "torch.tensor": [(([1.0],), {"dtype": torch.float64})],
    "torch.where": [((X > 0, X, 0.0), {}), ((X > 0,), {})],
    "torch.gather": [((X, 0, torch.zeros(1, 3, dtype=torch.int64)), {})],
    "torch.linalg.norm": [((X,), {"dim": 1}), ((X, 2), {})],
    "torch.fft.fft": [((X,), {"dim": 0})],
    "torch.Tensor.view": [((X, 3, 2), {}), ((X, (3, 2)), {}), ((X, -1), {})],
    "torch.Tensor.clamp_min": [((X, 0.0), {}), ((X,), {"min": 0.0})],
    "torch.Tensor.to": [((X, torch.float64), {}), ((X, "cpu"), {"non_blocking": True}), ((X,), {"dtype": torch.float64})],
    "torch.nn.functional.gelu": [((X,), {"approximate": "tanh"})],
    "torch.nn.functional.linear": [((X, torch.ones(4, 3)), {}), ((X, torch.ones(4, 3)), {"bias": torch.ones(4)})],
    "torch.nn.functional.max_pool1d": [((X, 2), {"stride": 1})],
    "torch.nn.functional.rms_norm": [((X, (3,)), {"eps": 1e-5})],
    "torch.nn.functional.cross_entropy": [((X, torch.tensor([0, 1])), {"label_smoothing": 0.1, "ignore_index": -1})],
    "torch.nn.LSTM": [((2, 3), {"num_layers": 2, "batch_first": True})],
    "torch.nn.GELU": [((), {}), (("tanh",), {})],
    "torch.nn.Tanh": [((), {})],
    "torch.optim.AdamW": [(([nn.Parameter(X)],), {"lr": 1e-3, "fused": None})],
    "torch.autocast": [(("cpu",), {"dtype": torch.bfloat16})],
    "torch.nn.utils.clip_grad_norm_": [(([nn.Parameter(X)], 1.0), {"error_if_nonfinite": False})],
    "torch.utils.data.DataLoader": [(([1, 2],), {"batch_size": 1, "shuffle": True})],
}  # fmt: skip
WRONG = {
    "torch.sum": [((X,), {"dims": 0}), ((), {})],
    "torch.clamp": [((X, 0, 1, 2), {})],
    "torch.softmax": [((X, 0, None, 1), {}), ((X,), {"temperature": 1})],
    "torch.topk": [((X,), {})],
    "torch.Tensor.masked_fill": [((X, X > 0), {})],
    "torch.nn.functional.gelu": [((X, "tanh"), {}), ((X,), {"inplace": True})],
    "torch.nn.functional.relu": [((X,), {"approximate": "none"})],
    "torch.nn.functional.scaled_dot_product_attention": [((X, X), {}), ((X, X, X), {"causal": True})],
    "torch.nn.functional.max_pool1d": [((X,), {})],
    "torch.nn.Linear": [((3,), {}), ((3, 4), {"eps": 1e-5})],
    "torch.nn.Tanh": [((), {"inplace": True}), ((1,), {})],
    "torch.nn.GELU": [((), {"inplace": True})],
    "torch.nn.LSTM": [((2, 3), {"nonlinearity": "relu"})],
    "torch.optim.SGD": [(([nn.Parameter(X)],), {"betas": (0.9, 0.99)})],
    "torch.optim.AdamW": [(([nn.Parameter(X)],), {"momentum": 0.9}), ((), {"lr": 1e-3})],
    "torch.nn.init.normal_": [((X, 0.0, 1.0), {"a": 1.0})],
}


@pytest.mark.parametrize(("path", "args", "keywords"), [(p, a, k) for p, calls in RIGHT.items() for a, k in calls])
def test_what_torch_takes_binds(path, args, keywords):
    eval(path)(*args, **keywords)
    assert bind_error(path, *args, **keywords) is None


@pytest.mark.parametrize(("path", "args", "keywords"), [(p, a, k) for p, calls in WRONG.items() for a, k in calls])
def test_what_torch_refuses_does_not_bind(path, args, keywords):
    with pytest.raises(TypeError):
        eval(path)(*args, **keywords)
    error = bind_error(path, *args, **keywords)
    assert error
    assert "\n" not in error


def test_the_signature_of_python_code_is_kept_whole():
    for path, own in (("torch.nn.Linear", nn.Linear), ("torch.nn.functional.dropout", functional.dropout)):
        expected = [(p.name, p.kind, p.default) for p in inspect.signature(own).parameters.values()]
        assert [(p.name, p.kind, p.default) for p in signature_of(path).parameters.values()] == expected


def test_the_standard_library_is_asked_as_it_is():
    assert signature_of("math.cos") == inspect.signature(math.cos)
    assert bind_error("builtins.sorted", [], key=None) is None
    assert bind_error("builtins.sorted", [], None)
    assert bind_error("dataclasses.field", default=1) is None
    assert bind_error("builtins.len") == "missing a required argument: 'obj'"
    for unknown in (
        "builtins.range",
        "math.pi",
        "math.nothing",
        "os.remove",
        "numpy.zeros",
        "torch.nn.Nothing",
        "torch",
        "",
    ):
        assert signature_of(unknown) is None


NAMES = "abcdef"


@st.composite
def functions(draw: st.DrawFn) -> str:
    """Draw the head of a function."""
    names = draw(st.permutations(NAMES))
    counts = [draw(st.integers(0, 2)) for _ in range(3)]
    only, both, keywords = (names[sum(counts[:i]) : sum(counts[: i + 1])] for i in range(3))
    n_defaults = draw(st.integers(0, len(only) + len(both)))
    placed = [*only, *both]
    stated = [f"{n}={i}" if i >= len(placed) - n_defaults else n for i, n in enumerate(placed)]
    star = draw(st.sampled_from(["*args", "*"] if keywords else ["*args", ""]))
    behind = [f"{name}=..." if draw(st.booleans()) else name for name in keywords]
    parts = [*stated[: len(only)], *(["/"] if only else []), *stated[len(only) :], *([star] if star else []), *behind]
    return f"def f({', '.join([*parts, *draw(st.sampled_from([[], ['**kwargs']]))])}): ..."


def compiled(head: str) -> inspect.Signature:
    scope: dict[str, object] = {}
    exec(head, scope)
    return inspect.signature(scope["f"])


CALLS = st.tuples(st.integers(0, 5), st.lists(st.sampled_from(NAMES), max_size=4, unique=True))


def binds(signature: inspect.Signature, call: tuple[int, list[str]]) -> bool:
    try:
        signature.bind(*range(call[0]), **dict.fromkeys(call[1]))
    except TypeError:
        return False
    return True


@given(functions(), CALLS)
def test_a_function_as_written_binds_as_python_binds_it(head, call):
    signature = signature_from(ast.parse(head).body[0], bound=False)
    assert signature == compiled(head)
    assert (binding_error(signature, *call) is None) == binds(compiled(head), call)


@given(functions(), CALLS)
def test_a_bound_method_takes_one_less(head, call):
    method = head.replace("def f(", "def f(self, ")
    assert signature_from(ast.parse(method).body[0], bound=True) == compiled(head)


@given(functions(), CALLS, st.integers(0, 3), st.lists(st.sampled_from(NAMES), max_size=3, unique=True))
def test_what_a_star_may_bring_is_never_said_to_be_missing(head, call, n_more, more):
    """Whatever stars bring along: if the whole call binds, then nothing is said about its visible part."""
    signature, (n, keywords) = compiled(head), call
    whole = (n + n_more, [*keywords, *(name for name in more if name not in keywords)])
    if binds(signature, whole):
        assert binding_error(signature, n, keywords, starred=True) is None


def test_a_star_hides_what_is_missing_and_nothing_else():
    signature = compiled("def f(a, b, *, c): ...")
    assert binding_error(signature, 0, [], starred=True) is None
    assert binding_error(signature, 3, [], starred=True)
    assert binding_error(signature, 1, ["a"], starred=True)
    assert binding_error(signature, 0, ["d"], starred=True)
    assert binding_error(signature, 0, ["c", "c"], starred=True) == "multiple values for argument 'c'"


@given(st.lists(functions(), min_size=1, max_size=4), CALLS)
def test_a_union_takes_what_any_overload_takes(heads, call):
    overloads = [compiled(head) for head in heads if "/" not in head]  # torch has no positional-only parameters
    if overloads and any(binds(each, call) for each in overloads):
        assert binding_error(union(overloads), *call) is None


def test_a_union_of_overloads_that_agree_is_as_strict_as_they_are():
    merged = union([compiled("def f(input, dim=0, *, out=None): ..."), compiled("def f(input, *, out=None): ...")])
    assert str(merged) == "(input, dim=0, *, out=None)"
    assert all(binding_error(merged, n, words) for n, words in [(0, []), (3, []), (1, ["other"])])
