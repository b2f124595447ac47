"""Frozen: a checkpoint becomes a function from images to logits, with the model as the sources around it define it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model

from config import ModelConfig
from model import Net


def load(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return predict: images (B, SIZE, SIZE) float32 -> logits of the digits (B, 10) float32."""
    model = Net(ModelConfig())
    load_model(model, str(checkpoint))
    model.eval()

    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(images)).float().numpy()

    return predict
