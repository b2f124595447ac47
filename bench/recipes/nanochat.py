"""karpathy/nanochat: scripts/base_train.py itself, with its loader, evaluation, sampling and checkpoint; the tokenizer is ours."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch

from bench.probe import pretend, stand_in, tokens

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = (
    "scripts/base_train.py", "nanochat/gpt.py", "nanochat/optim.py", "nanochat/flash_attention.py", "nanochat/loss_eval.py",
    "nanochat/engine.py", "nanochat/dataloader.py", "nanochat/common.py", "nanochat/checkpoint_manager.py",
)  # fmt: skip
_VOCAB = 64
_SMALLER = {
    "--depth": 10, "--aspect-ratio": 2, "--head-dim": 8, "--max-seq-len": 128, "--device-batch-size": 8, "--eval-tokens": 327_680,
    "--eval-every": 125, "--sample-every": 1000, "--warmup-steps": 20,
}  # fmt: skip


class _Tokenizer:
    """Characters, with the special tokens all in one."""

    def get_vocab_size(self) -> int:
        return _VOCAB

    def get_bos_token_id(self) -> int:
        return 0

    def encode_special(self, text: str) -> int:
        return len(text) % 8

    def encode(self, text: str | list[str], prepend: object = None, **_: object) -> list[int] | list[list[int]]:
        if isinstance(text, list):
            return [self._one(each, prepend) for each in text]
        return self._one(text, prepend)

    __call__ = encode

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(48 + i) for i in ids)

    def _one(self, text: str, prepend: object) -> list[int]:
        return [0] * (prepend is not None) + [ord(c) % _VOCAB for c in text]


class _Parquet:
    """One group of documents of a dozen tokens."""

    num_row_groups = 1

    def __init__(self, path: str) -> None:
        self.seed = len(path)

    def read_row_group(self, _: int) -> SimpleNamespace:
        text = "".join(chr(64 + i) for i in tokens(2400, _VOCAB, self.seed))
        documents = [text[i : i + 5 + i % 13] for i in range(0, 2000, 8)]
        return SimpleNamespace(column=lambda _: SimpleNamespace(to_pylist=lambda: documents))


def drive(probe: Probe) -> None:
    """Train four steps, with evaluation and samples."""
    os.environ["NANOCHAT_BASE_DIR"] = str(probe.folder / "base")
    pretend("wandb", "requests", "rustbpe", "tiktoken", "jinja2", "yaml")
    stand_in("pyarrow")
    stand_in("pyarrow.parquet", ParquetFile=_Parquet)
    stand_in("nanochat.dataset", list_parquet_files=lambda **_: ["train", "validation"])
    sizes = torch.ones(_VOCAB, dtype=torch.int32)
    stand_in("nanochat.tokenizer", get_tokenizer=_Tokenizer, get_token_bytes=lambda **_: sizes)
    torch.compile = lambda model=None, **_: model if model is not None else lambda function: function
    probe.shrink("scripts/base_train.py", _SMALLER)
    options = ("--num-iterations=4", "--total-batch-size=128", "--core-metric-every=-1", "--device-type=cpu")
    found = probe.script("scripts/base_train.py", *options)
    if found:
        probe.note(torch.tensor(float(found["min_val_bpb"])))
