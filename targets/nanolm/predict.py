"""Frozen: a checkpoint becomes a function from bytes to logits, with the model as the sources around it define it.

In float32 on every device: the probes compare outputs that must not differ, and bfloat16 rounds a batch of another size too coarsely.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model

from config import ModelConfig
from model import GPT


def load(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return predict: inputs (B, T) int64 -> logits of each next byte (B, T, 256) float32."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = GPT(ModelConfig())
    load_model(model, str(checkpoint))
    model.to(device).eval()

    @torch.inference_mode()
    def predict(inputs: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(inputs).to(device)).float().cpu().numpy()

    return predict
