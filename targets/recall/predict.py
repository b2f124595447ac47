"""Frozen: a checkpoint becomes a function from sequences to logits, with the model as the sources around it define it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model

from config import ModelConfig
from model import GPT


def load(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return predict: sequences (B, T) int64 -> logits at each token (B, T, VOCAB) float32."""
    model = GPT(ModelConfig())
    load_model(model, str(checkpoint))
    model.eval()

    @torch.inference_mode()
    def predict(inputs: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(inputs)).float().numpy()

    return predict
