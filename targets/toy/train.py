"""Fit the network for as long as the budget lasts, then save its weights."""

import numpy as np
from safetensors.numpy import save_file

from config import Config
from model import Model
from optim import Momentum, lr_at
from prepare import Budget, checkpoint_path, load_train, trial_seed


def train(model: Model, cfg: Config, rng: np.random.Generator, budget: Budget) -> None:
    inputs, outputs = load_train()  # (N, I), (N,)
    optimizer = Momentum(model.weights, cfg)
    while (progress := budget.progress()) < 1.0:
        batch = rng.integers(len(inputs), size=cfg.batch_size)
        gradients = model.gradients(inputs[batch], outputs[batch])
        optimizer.step(gradients, lr_at(progress, cfg))
        budget.spend(model.predict, inputs[batch], outputs[batch])


def main() -> None:
    rng = np.random.default_rng(trial_seed())
    cfg = Config()
    model = Model(cfg, rng)
    train(model, cfg, rng, Budget())
    save_file(model.weights, checkpoint_path())


if __name__ == "__main__":
    main()
