"""Train a GPT on associative recall for as long as the budget lasts, then save its weights."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_model
from torch.nn.utils import clip_grad_norm_

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
        x, values = sampler.batch()  # (B, T), (B, Q)
        logits = model(x)  # (B, T, VOCAB)
        said = logits[:, -values.shape[1] :]  # (B, Q, VOCAB), at the queries
        loss = F.cross_entropy(said.flatten(0, 1), values.flatten())
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), cfg.clip)
        optimizer.step()
        budget.spend(logits, values)


def main() -> None:
    torch.manual_seed(trial_seed())
    model = GPT(ModelConfig())
    train(model, TrainConfig(), Budget())
    save_model(model, str(checkpoint_path()))


if __name__ == "__main__":
    main()
