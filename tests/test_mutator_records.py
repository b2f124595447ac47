"""What won in public can be said, and what cheats cannot: on a repository of our own in the shape of karpathy/autoresearch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from bench.records import Change, find_cheats, walk_record
from graph.build import build_graph
from graph.code_graph import CodeGraph
from graph.snapshot import Snapshot, read_sources
from mutator.edit import parse_edit
from mutator.kind import Reason, Refused
from mutator.protect import protected_slots
from mutator.shipped import default_grammar

_SPEEDRUN = Path(__file__).parent / "cases/speedrun"


def _in_train(what: str, before: str, *after: str, more: Change | None = None) -> Change:
    return Change(what, "train.py", before, after, more)


def _decay(of: str, old: str, new: str) -> Change:
    before = f"{of}, betas=betas, eps=1e-10, weight_decay={old}"
    return _in_train(
        f"weight decay {new} on {of}", before, before.replace(f"weight_decay={old}", f"weight_decay={new}")
    )


_HEAD, _EMBED, _VALUES = (
    "lr=head_lr",
    "self.embed.parameters()), lr=embed_lr",
    "self.value_embed.parameters()), lr=embed_lr",
)

_KEPT = (
    _in_train("halve the batch", "2**19", "2**18"),
    _in_train("depth 9", "DEPTH = 8", "DEPTH = 9", more=_in_train("aspect ratio 57", "ASPECT_RATIO = 64", "ASPECT_RATIO = 57")),
    _in_train("longer warm-down", "WARMDOWN_RATIO = 0.5", "WARMDOWN_RATIO = 0.7"),
    _in_train("more short windows", '"SSSL"', '"SSSSL"'),
    _in_train("short windows of an eighth", "long_window // 2", "long_window // 8"),
    _in_train("rotary base", "base=10000", "base=200000"),
    _in_train("embedding rate", "EMBEDDING_LR = 0.6", "EMBEDDING_LR = 0.8"),
    _in_train("initial share of the first state", "first_lambdas.fill_(0.1)", "first_lambdas.fill_(0.05)"),
    _in_train("final rate", "FINAL_LR_FRAC = 0.0", "FINAL_LR_FRAC = 0.05"),
    _in_train("unembedding rate up", "UNEMBEDDING_LR = 0.004", "UNEMBEDDING_LR = 0.006"),
    _in_train("shorter momentum warm-up", "step / 300", "step / 200"),
    _in_train("unembedding rate down", "UNEMBEDDING_LR = 0.006", "UNEMBEDDING_LR = 0.005"),
    _decay(_HEAD, "0.0", "0.01"),
    _in_train("initialisation x 0.8", "bound = 3**0.5", "bound = 0.8 * 3**0.5"),
    _in_train("initialisation x 0.7", "bound = 0.8", "bound = 0.7"),
    _in_train("initialisation x 0.68", "bound = 0.7", "bound = 0.68"),
    _decay(_EMBED, "0.0", "0.001"),
    _decay(_VALUES, "0.0", "0.001"),
    _decay(_VALUES, "0.001", "0.002"),
    _decay(_VALUES, "0.002", "0.003"),
    _in_train("embedding rate again", "EMBEDDING_LR = 0.8", "EMBEDDING_LR = 0.9"),
    _in_train("still longer warm-down", "WARMDOWN_RATIO = 0.7", "WARMDOWN_RATIO = 0.75"),
)  # fmt: skip

_KEPT_IN_NANOCHAT = (
    _in_train("scaled queries and keys", "q, k = norm(q), norm(k)", "q, k = norm(q) * 1.15, norm(k)", "q, k = 1.15 * norm(q), norm(k)",
              more=_in_train("and keys", "norm(k)  # QK-norm", "norm(k) * 1.15  # QK-norm", "1.15 * norm(k)  # QK-norm")),
    _in_train("wider short windows", "long_window // 2", "long_window * 3 // 4", "long_window // 1", "long_window // 3"),
    _in_train("betas of Adam", "ADAM_BETAS = (0.8, 0.95)", "ADAM_BETAS = (0.8, 0.96)"),
    _in_train("embedding initialisation", "std=1.0", "std=0.8"),
    _in_train("soft cap", "softcap = 15", "softcap = 20"),
)  # fmt: skip

_UNTOUCHABLE = (
    "flash.flash_attn_func(q, k, v, causal=True, window_size=window",
    'sizes = {"L": (long_window, 0), "S": (short_window, 0)}',
    "torch.manual_seed(42)\n",
    "total_training_time = 0\n",
    "\nwhile True:\n    t0 = time.time()\n",
    "    t1 = time.time()\n    dt = t1 - t0\n    if step > 10:\n        total_training_time += dt\n    step += 1\n"
    "    if step > 10 and total_training_time >= TIME_BUDGET:\n        break\n",
    "model.eval()\nval_bpb = evaluate(model, DEVICE_BATCH_SIZE)\n",
    'print(f"val_bpb:          {val_bpb:.6f}")\n',
    'print(f"training_seconds: {total_training_time:.1f}")\n',
    "from prepare import SEQ_LEN, TIME_BUDGET, VOCAB, batches, evaluate, now\n",
    'loader = batches(DEVICE_BATCH_SIZE, "train")\n',
)

_REFUSED = (
    ("flip-flag@train:Attention.forward/literal.causal", Reason.CONTRACT),
    ("scale-literal@train:/literal.manual_seed?by=2.0", Reason.PROTECTED),
    ("delete-statement@train:/stmt.manual_seed", Reason.PROTECTED),
    ("scale-literal@prepare:/literal.TIME_BUDGET?by=2.0", Reason.FROZEN),
    ("scale-literal@prepare:/literal.EVAL_BATCHES?by=0.5", Reason.FROZEN),
    ("replace-operator@prepare:evaluate/op.div?to=mul", Reason.FROZEN),
    ("delete-statement@train:/stmt.total_training_time.1", Reason.PROTECTED),
    ("delete-statement@train:/stmt.t0", Reason.PROTECTED),
    ("swap-statements@train:/stmt.t1", Reason.PROTECTED),
    ("repeat-statement@train:/stmt.step.2?times=2", Reason.PROTECTED),
    ("replace-comparison@train:/op.gt?to=ge", Reason.PROTECTED),
    ("replace-boolean@train:/op.and", Reason.PROTECTED),
)


@cache
def _speedrun() -> CodeGraph:
    return build_graph(Snapshot(read_sources(_SPEEDRUN).files, frozenset({"prepare.py"})))


@cache
def _cheats() -> dict[str, list[str]]:
    return find_cheats(_speedrun(), "train.py", _UNTOUCHABLE, default_grammar(), protected_slots(_speedrun()))


@pytest.mark.parametrize("record", [_KEPT, _KEPT_IN_NANOCHAT], ids=["autoresearch", "nanochat"])
def test_every_kept_change_of_a_public_record_can_be_said(record: tuple[Change, ...]) -> None:
    said = list(walk_record(_speedrun().snapshot, record, default_grammar()))
    assert [change.what for change, script in said if not script] == []


@pytest.mark.parametrize("text", _UNTOUCHABLE)
def test_no_offered_edit_touches_what_the_measuring_rests_on(text: str) -> None:
    assert text in _speedrun().snapshot.files["train.py"].decode()
    assert _cheats()[text] == []


def test_edits_of_what_is_open_are_found() -> None:
    """The control of the test above: a rate is no part of the measuring."""
    open_text, grammar = "EMBEDDING_LR = 0.6\n", default_grammar().only("scale-literal")
    assert find_cheats(_speedrun(), "train.py", (open_text,), grammar, protected_slots(_speedrun()))[open_text]


@pytest.mark.parametrize(("uri", "reason"), _REFUSED)
def test_a_cheat_is_refused_with_its_reason(uri: str, reason: Reason) -> None:
    graph = _speedrun()
    with pytest.raises(Refused) as refused:
        default_grammar().apply(graph, parse_edit(uri), protected=protected_slots(graph))
    assert refused.value.reason is reason
