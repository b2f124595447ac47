"""Lightning-AI/litgpt: litgpt/model.py in four architectures under AdamW. Its own training needs Lightning, which is not here."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from bench.probe import pretend, tokens

if TYPE_CHECKING:
    from bench.probe import Probe

COVERS = ("litgpt/model.py", "litgpt/config.py")
_SIZES = {"block_size": 32, "n_layer": 2, "n_head": 4, "n_embd": 32, "vocab_size": 60, "padded_vocab_size": 64}
_ARCHITECTURES: tuple[dict[str, Any], ...] = (
    {"rotary_percentage": 0.25, "parallel_residual": True},  # pythia
    {"norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP", "intermediate_size": 48, "n_query_groups": 2, "bias": False,
     "rotary_percentage": 1.0, "parallel_residual": False},  # llama
    {"norm_class_name": "RMSNorm", "mlp_class_name": "GemmaMLP", "intermediate_size": 48, "scale_embeddings": True, "bias": False,
     "rotary_percentage": 1.0, "parallel_residual": False, "post_attention_norm": True, "post_mlp_norm": True, "norm_qk": True,
     "sliding_window_size": 4, "attention_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},  # gemma 2
    {"norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMoE", "intermediate_size": 48, "n_expert": 4, "n_expert_per_token": 2,
     "bias": False, "rotary_percentage": 1.0, "parallel_residual": False},  # mixtral
)  # fmt: skip


def drive(probe: Probe) -> None:
    """Train each architecture two steps, and let it read once with a cache."""
    pretend(
        "lightning",
        "lightning_utilities",
        "psutil",
        "yaml",
        "tqdm",
        "huggingface_hub",
        "jsonargparse",
        "tokenizers",
        "litdata",
    )
    package = ModuleType("litgpt")  # without its __init__, which imports everything
    package.__path__ = [str(probe.folder / "litgpt")]
    sys.modules["litgpt"] = package
    sys.path.insert(0, str(probe.folder))
    from litgpt.model import GPT, Config  # type: ignore[import-not-found]  # noqa: PLC0415 - the edited sources

    data = torch.from_numpy(tokens(200, 60)).view(8, 25)
    for architecture in _ARCHITECTURES:
        torch.manual_seed(1)
        model = GPT(Config(**_SIZES, **architecture))
        model.apply(model._init_weights)  # noqa: SLF001 - what its pretraining calls
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for batch in data.split(4):
            logits = model(batch[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        _read_once(model, data[:1, :4], probe)


@torch.no_grad()
def _read_once(model: Any, prompt: torch.Tensor, probe: Probe) -> None:  # noqa: ANN401 - an edited model
    model.eval()
    model.max_seq_length = 16
    model.set_kv_cache(batch_size=1)
    probe.note(model(prompt, torch.arange(prompt.size(1)))[:, -1].max())
    probe.note(model(prompt[:, :1], torch.tensor([prompt.size(1)])).max())
