"""Train a GPT on bytes for as long as the budget lasts, then save its weights."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_model

from config import ModelConfig, TrainConfig
from data import Sampler
from model import GPT
from optim import build_optimizer, lr_scale
from prepare import Budget, checkpoint_path, trial_seed


def train(model: GPT, cfg: TrainConfig, budget: Budget) -> None:
    sampler = Sampler(cfg)
    optimizer = build_optimizer(model, cfg)
    model.train()
    while (progress := budget.progress()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * lr_scale(progress, cfg)
        x, y = sampler.batch()  # (B, T), (B, T)
        logits = model(x)  # (B, T, VOCAB)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        budget.spend(y.numel(), logits, y)


def main() -> None:
    torch.manual_seed(trial_seed())
    model = GPT(ModelConfig())
    train(model, TrainConfig(), Budget())
    save_model(model, str(checkpoint_path()))


if __name__ == "__main__":
    main()
