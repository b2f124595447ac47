"""Whether the grammar can say what won in public: each kept change of two research records must be an edit, or a script of two.

`python -m bench.records FOLDER` walks the record of karpathy/autoresearch (branch of 8 March: 22 kept of 125 experiments) or, at the
commit before 6ed7d1d, of karpathy/nanochat ("autoresearch round 1"), each change on top of those before, and prints the edit that makes it.
A record is told as pieces of text before and after; two sources are the same change when they parse alike.
Of autoresearch it then prints the edits that would touch the seed, the clock, the budget, causality or the metric: there must be none.
"""

from __future__ import annotations

import ast
import re
import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from graph.build import build_graph
from graph.model import NodeKind
from graph.snapshot import Snapshot, read_sources
from mutator.domain import OneOf
from mutator.edit import Edit, EditError
from mutator.patch import difference
from mutator.protect import protected_slots
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.domain import Axis, Domain
    from mutator.edit import Choice, Scalar
    from mutator.grammar import Grammar

_MOST_CHOICES = 400  # tried at one site


@dataclass(frozen=True, slots=True)
class Change:
    """One kept change of a record: what it was, where, and the text before and after. Of several ways to write it any will do."""

    what: str
    path: str
    before: str
    after: tuple[str, ...]
    more: Change | None = None  # the second edit of a script of two


def _at(path: str) -> Callable[..., Change]:
    def change(what: str, before: str, *after: str, more: Change | None = None) -> Change:
        return Change(what, path, before, after, more)

    return change


def _in_group(what: str, group: str, before: str, *after: str, path: str = "train.py") -> Change:
    """Return a change within one line that a piece of text marks."""
    return Change(what, path, group + before, tuple(group + text for text in after))


_train = _at("train.py")
_HEAD = "params=lm_head_params, lr=unembedding_lr * dmodel_lr_scale, betas="
_EMBEDDING = "params=embedding_params, lr=embedding_lr * dmodel_lr_scale, betas="
_VALUES = "params=value_embeds_params, lr=embedding_lr * dmodel_lr_scale"
_NO_DECAY, _DECAY = "adam_betas, eps=1e-10, weight_decay=0.0", "adam_betas, eps=1e-10, weight_decay="

AUTORESEARCH = (
    _train("halve the batch", "TOTAL_BATCH_SIZE = 2**19", "TOTAL_BATCH_SIZE = 2**18"),
    _train("depth 9, aspect ratio 57", "DEPTH = 8 ", "DEPTH = 9 ", more=_train("", "ASPECT_RATIO = 64", "ASPECT_RATIO = 57")),
    _train("warm-down 0.5 -> 0.7", "WARMDOWN_RATIO = 0.5", "WARMDOWN_RATIO = 0.7"),
    _train("window pattern SSSSL", 'WINDOW_PATTERN = "SSSL"', 'WINDOW_PATTERN = "SSSSL"'),
    _train("short window an eighth", "long_window // 2", "long_window // 8"),
    _train("rotary base 200K", "base=10000", "base=200000"),
    _train("embedding rate 0.8", "EMBEDDING_LR = 0.6", "EMBEDDING_LR = 0.8"),
    _train("x0 initialisation 0.05", "x0_lambdas.fill_(0.1)", "x0_lambdas.fill_(0.05)"),
    _train("final rate 0.05", "FINAL_LR_FRAC = 0.0", "FINAL_LR_FRAC = 0.05"),
    _train("unembedding rate 0.006", "UNEMBEDDING_LR = 0.004", "UNEMBEDDING_LR = 0.006"),
    _train("momentum warm-up 200", "step / 300", "step / 200"),
    _train("unembedding rate 0.005", "UNEMBEDDING_LR = 0.006", "UNEMBEDDING_LR = 0.005"),
    _in_group("weight decay of the head", _HEAD, _NO_DECAY, f"{_DECAY}0.01"),
    _train("initialisation x 0.8", "s = 3**0.5 *", "s = 0.8 * 3**0.5 *"),
    _train("initialisation x 0.7", "s = 0.8", "s = 0.7"),
    _train("initialisation x 0.68", "s = 0.7", "s = 0.68"),
    _in_group("weight decay of the embedding", _EMBEDDING, _NO_DECAY, f"{_DECAY}0.001"),
    *(
        _in_group(f"weight decay of the value embeddings {new}", f"{_VALUES}, betas=", f"{_DECAY}{old}", f"{_DECAY}{new}")
        for old, new in (("0.0", "0.001"), ("0.001", "0.002"), ("0.002", "0.003"))
    ),
    _train("embedding rate 0.9", "EMBEDDING_LR = 0.8", "EMBEDDING_LR = 0.9"),
    _train("warm-down 0.75", "WARMDOWN_RATIO = 0.7", "WARMDOWN_RATIO = 0.75"),
)  # fmt: skip

_GPT = "nanochat/gpt.py"
_gpt, _script = _at(_GPT), _at("scripts/base_train.py")
_COSINE = "weight_decay_scaled * (0.5 * (1.0 + math.cos(math.pi * {})))"

NANOCHAT = (
    _gpt("QK-norm scaler", "        q, k = norm(q), norm(k) #", "        q, k = 1.15 * norm(q), norm(k) #",
         more=_gpt("", "norm(k) # QK norm", "1.15 * norm(k) # QK norm")),
    _gpt("short window a third", "long_window // 2", "long_window // 3"),
    _gpt("gate scale 3", "gate = 2 *", "gate = 3 *"),
    _gpt("gate channels 12", "self.ve_gate_channels = 32", "self.ve_gate_channels = 12"),
    _gpt("embedding initialisation 0.8", "mean=0.0, std=1.0", "mean=0.0, std=0.8"),
    _gpt("c_fc initialisation x 0.5", "(block.mlp.c_fc.weight, -s, s)", "(block.mlp.c_fc.weight, -s * 0.5, s * 0.5)",
         "(block.mlp.c_fc.weight, -0.5 * s, 0.5 * s)", "(block.mlp.c_fc.weight, 0.5 * -s, 0.5 * s)"),
    _gpt("gate initialisation small", "zeros_(block.attn.ve_gate.weight)", "uniform_(block.attn.ve_gate.weight, 0.0, 0.02)"),
    _gpt("rotary base 100K", "base=10000", "base=100000"),
    _gpt("soft cap 15", "softcap = 20", "softcap = 15"),
    _gpt("Muon beta2 0.9", "ns_steps=5, beta2=0.95", "ns_steps=5, beta2=0.9"),
    _in_group("betas of the head", _HEAD, "adam_betas", "(0.8, 0.96)", path=_GPT),
    _in_group("weight decay of the head", f"{_HEAD}(0.8, 0.96), eps=1e-10, weight_decay=", "0.0", "0.01", path=_GPT),
    _gpt("rate of the value embeddings x 0.5", _VALUES, _VALUES.replace("lr=", "lr=0.5 * "), f"{_VALUES} * 0.5"),
    _script("unembedding rate 0.008", '"--unembedding-lr", type=float, default=0.004', '"--unembedding-lr", type=float, default=0.008'),
    _script("weight decay 0.28", '"--weight-decay", type=float, default=0.2', '"--weight-decay", type=float, default=0.28'),
    _script("beta2 0.96", '"--adam-beta2", type=float, default=0.95', '"--adam-beta2", type=float, default=0.96'),
    _script("warm-down 0.65", '"--warmdown-ratio", type=float, default=0.5', '"--warmdown-ratio", type=float, default=0.65'),
    _script("final rate 0.05", '"--final-lr-frac", type=float, default=0.0', '"--final-lr-frac", type=float, default=0.05'),
    _script("momentum warm-up 400", "it / 300", "it / 400"),
    _script("momentum 0.97", "frac * 0.95", "frac * 0.97"),
    _script("weight decay in a cosine", "weight_decay_scaled * (1 - it / num_iterations)",
            *(_COSINE.format(x) for x in ("it / num_iterations", "(it / num_iterations)", "(1 - (1 - it / num_iterations))"))),
    _at("nanochat/optim.py")("polar express factor 1.01", "keepdim=True) * 1.02", "keepdim=True) * 1.01"),
)  # fmt: skip

_MEASURING = (
    "fa3.flash_attn_func(q, k, v, causal=True, window_size=window_size",
    'char_to_window = {"L": (long_window, 0), "S": (short_window, 0)}\n',
    "window_sizes[-1] = (long_window, 0)\n",
    "torch.manual_seed(42)\ntorch.cuda.manual_seed(42)\n",
    "while True:\n    torch.cuda.synchronize()\n    t0 = time.time()\n",
    "    torch.cuda.synchronize()\n    t1 = time.time()\n    dt = t1 - t0\n\n    if step > 10:\n        total_training_time += dt\n",
    "total_training_time = 0\n",
    "    if step > 10 and total_training_time >= TIME_BUDGET:\n        break\n",
    "model.eval()\nwith autocast_ctx:\n    val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)\n",
    'print(f"val_bpb:          {val_bpb:.6f}")\n',
    'print(f"training_seconds: {total_training_time:.1f}")\n',
    'train_loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")\n',
    "vocab_size = tokenizer.get_vocab_size()\n",
)
_RECORDS = {"autoresearch": AUTORESEARCH, "nanochat": NANOCHAT}
_FROZEN = {"autoresearch": ("prepare.py",)}


def walk_record(
    snapshot: Snapshot, changes: Sequence[Change], grammar: Grammar
) -> Iterator[tuple[Change, tuple[str, ...]]]:
    """Say for each change which edits make it, on top of all before; no edit when the grammar cannot say it."""
    for change in changes:
        script: list[str] = []
        step: Change | None = change
        while step is not None:
            snapshot, edit = _make(snapshot, step, grammar)
            script += [edit.uri] if edit is not None else []
            step = step.more if edit is not None else None
        whole = len(script) == 1 + (change.more is not None)
        yield change, tuple(script) if whole else ()


def find_cheats(
    graph: CodeGraph, path: str, untouchable: Sequence[str], grammar: Grammar, protected: frozenset[str]
) -> dict[str, list[str]]:
    """Return which pieces of a file, that the measuring rests on, which offered edits would change."""
    found: dict[str, list[str]] = {text: [] for text in untouchable}
    for edit in grammar.edits(graph, protected=protected):
        changed = grammar.apply(graph, edit, protected=protected).files[path].decode()
        for text in untouchable:
            if text not in changed:
                found[text].append(edit.uri)
    return found


def _make(snapshot: Snapshot, change: Change, grammar: Grammar) -> tuple[Snapshot, Edit | None]:
    """Return the sources after a change, and the edit that makes it; without one the change is made by hand."""
    old = snapshot.files[change.path].decode()
    if change.before not in old:
        raise SystemExit(f"{change.path}: does not hold {change.before!r}; is this the commit of the record?")
    wanted = [old.replace(change.before, after, 1) for after in change.after]
    trees = {ast.dump(ast.parse(text)) for text in wanted}
    graph = build_graph(snapshot)
    protected = protected_slots(graph)
    for edit in _candidates(graph, change, wanted[0], grammar, protected):
        try:
            after = grammar.apply(graph, edit, protected=protected)
        except EditError:
            continue
        if ast.dump(ast.parse(after.files[change.path])) in trees and all(
            after.files[path] == data for path, data in snapshot.files.items() if path != change.path
        ):
            return after, edit
    return snapshot.with_files({change.path: wanted[0].encode()}, edit=f"by hand: {change.what}"), None


def _candidates(
    graph: CodeGraph, change: Change, wanted: str, grammar: Grammar, protected: frozenset[str]
) -> Iterator[Edit]:
    """Walk the edits near a change, of the numbers that it writes before those of the grid."""
    data = graph.snapshot.files[change.path]
    patch = difference({change.path: data}, {change.path: wanted.encode()})
    start = data.rfind(b"\n", 0, patch.files[0][1][0].start) + 1  # of the line: a comment may move
    end = patch.files[0][1][0].end
    numbers = _numbers(change)
    for kind, site, domain in grammar.sites(graph, protected=protected):
        if site.path == change.path and _near(graph, site, start, end):
            for choice in islice(_choices(domain, numbers), _MOST_CHOICES):
                yield Edit(kind.name, site.slot, choice, site.anchor, kind.version)


def _near(graph: CodeGraph, site: Node, start: int, end: int) -> bool:
    statement = graph.statement(site) or site
    return statement.start <= end and start <= statement.end and site.kind is not NodeKind.MODULE


def _numbers(change: Change) -> tuple[Scalar, ...]:
    """Return the numbers after a change, their ratios to those before, and those of the distances to 1, as momenta are scaled."""
    old, new = (
        [node.value for node in ast.walk(ast.parse(_expression(text))) if isinstance(node, ast.Constant)]
        for text in (change.before, change.after[0])
    )
    found: list[Scalar] = [value for value in new if isinstance(value, int | float | str)]
    pairs = [(a, b) for a in old for b in found if isinstance(a, int | float) and not isinstance(b, str)]
    found += [round(b / a, 9) for a, b in pairs if a]
    found += [round((1 - b) / (1 - a), 9) for a, b in pairs if a != 1]
    return tuple(dict.fromkeys(found))


def _expression(text: str) -> str:
    """Return the numbers and strings of a piece of code, which need not parse, as a tuple that does."""
    code = text.partition(" #")[0]
    found = re.findall(r"\"[^\"]*\"|'[^']*'|(?<![\w.])\d[\d.]*(?:e[+-]?\d+)?", code)
    return f"({', '.join(found)},)" if found else "()"


def _choices(domain: Domain, numbers: tuple[Scalar, ...]) -> Iterator[Choice]:
    """Walk the choices that hold one of the numbers on every range, and then those of the grid."""
    axes = [_values(axis, numbers) for _, axis in domain.axes]
    names = [name for name, _ in domain.axes]
    return (tuple(zip(names, values, strict=True)) for values in product(*axes))


def _values(axis: Axis, numbers: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    near = [] if isinstance(axis, OneOf) else [read for n in numbers if (read := axis.read(n)) is not None]
    return tuple(dict.fromkeys((*near, *axis.grid)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print which edits make each change of a record; return how many have none, and how many cheat."""
    parser = ArgumentParser(description="Whether the grammar can say what won in public.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--record", choices=tuple(_RECORDS), help="which record; that of the folder's name unless given"
    )
    chosen = parser.parse_args(arguments)
    name = chosen.record or chosen.folder.resolve().name
    snapshot = Snapshot(read_sources(chosen.folder).files, frozenset(_FROZEN.get(name, ())))
    missing = 0
    for change, script in walk_record(snapshot, _RECORDS[name], default_grammar()):
        missing += not script
        sys.stdout.write(f"{'' if script else 'NOT '}{change.what}: {'; '.join(script) or change.after[0]}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{missing} of {len(_RECORDS[name])} cannot be said\n")
    cheats: dict[str, list[str]] = {}
    if name == "autoresearch":
        graph = build_graph(snapshot)
        cheats = find_cheats(graph, "train.py", _MEASURING, default_grammar(), protected_slots(graph))
    for text, uris in cheats.items():
        sys.stdout.writelines(f"CHEAT {uri} changes {text!r}\n" for uri in uris)
    return missing + sum(map(len, cheats.values()))


if __name__ == "__main__":
    sys.exit(main())
