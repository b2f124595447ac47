"""karpathy/autoresearch: train.py itself, on the CPU, with prepare.py (frozen there) and the attention kernel replaced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from bench.probe import stand_in, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.probe import Probe

COVERS = ("train.py",)
_SEQ_LEN, _VOCAB = 16, 64
_TIME_BUDGET = 3  # ticks of the probe's clock: the script stops after its 11 free steps and a few more
_SMALLER = {"TOTAL_BATCH_SIZE": 4096, "DEVICE_BATCH_SIZE": 32, "ASPECT_RATIO": 8, "HEAD_DIM": 8}


_device = torch.device


class _IsDevice(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _device)


class _Device(metaclass=_IsDevice):
    """Is torch.device, but for CUDA, which is the CPU."""

    def __new__(cls, kind: Any, *rest: Any) -> Any:  # noqa: ANN401 - what torch.device takes and gives
        return _device("cpu") if str(kind).startswith("cuda") else _device(kind, *rest)


class _Tokenizer:
    @classmethod
    def from_directory(cls) -> _Tokenizer:
        return cls()

    def get_vocab_size(self) -> int:
        return _VOCAB


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    **options: Any,  # noqa: ANN401
) -> torch.Tensor:
    """Do what flash_attn_func does, by a mask. Shapes: (B, T, H, D)."""
    if options.keys() - {"softmax_scale"}:
        raise TypeError(f"flash_attn_func: {options}")
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    row, column = torch.arange(q.size(2))[:, None], torch.arange(k.size(2))
    left, right = window_size
    seen = torch.ones(len(row), len(column), dtype=torch.bool)
    seen &= (column <= row) if causal else torch.tensor(data=True)
    seen &= (row - column <= left) if left >= 0 else torch.tensor(data=True)
    seen &= (column - row <= right) if right >= 0 else torch.tensor(data=True)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=seen, enable_gqa=q.size(1) != k.size(1), scale=options.get("softmax_scale")
    ).transpose(1, 2)


def _loader(_: object, batch: int, length: int, split: str) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
    data = torch.from_numpy(tokens(4096, _VOCAB, len(split)))
    for start in range(0, 10**9, batch * length):
        rows = torch.stack([data[(start + i * length) % 4000 :][: length + 1] for i in range(batch)])
        yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), 1


def _evaluator(probe: Probe) -> Callable[..., float]:
    @torch.no_grad()
    def evaluate_bpb(model: Any, tokenizer: object, batch_size: int) -> float:  # noqa: ANN401 - an edited model
        x, y, _ = next(_loader(tokenizer, batch_size, _SEQ_LEN, "val"))
        loss = model(x, y, reduction="none")
        assert loss.numel() == y.numel()
        probe.note(loss.mean())
        return float(loss.mean())

    return evaluate_bpb


def drive(probe: Probe) -> None:
    """Train until the time is up, some 13 steps, and evaluate."""
    autocast = torch.amp.autocast
    torch.amp.autocast = lambda device_type, **named: autocast("cpu", **named)
    torch.compile = lambda model=None, **_: model if model is not None else lambda function: function
    torch.cuda.get_device_capability = lambda: (9, 0)
    torch.cuda.synchronize = torch.cuda.manual_seed = lambda *_: None
    torch.cuda.max_memory_allocated = lambda: 0
    kernel = SimpleNamespace(flash_attn_interface=SimpleNamespace(flash_attn_func=_attend))
    stand_in("kernels", get_kernel=lambda _: kernel)
    given = {"MAX_SEQ_LEN": _SEQ_LEN, "TIME_BUDGET": _TIME_BUDGET, "Tokenizer": _Tokenizer}
    stand_in("prepare", make_dataloader=_loader, evaluate_bpb=_evaluator(probe), **given)
    probe.shrink("train.py", _SMALLER)
    torch.device = _Device
    probe.script("train.py")
