"""Frozen: a checkpoint becomes a function from views to logits, with the model as the sources around it define it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model

from config import ModelConfig
from model import Agent


def load(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return predict: views (B, N_TOKENS) int64 -> logits of the actions (B, N_ACTIONS) float32."""
    model = Agent(ModelConfig())
    load_model(model, str(checkpoint))
    model.eval()

    @torch.inference_mode()
    def predict(views: np.ndarray) -> np.ndarray:
        logits, _ = model(torch.from_numpy(views))
        return logits.float().numpy()

    return predict
