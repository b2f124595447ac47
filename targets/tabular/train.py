"""Train the forecast for as long as the budget lasts, then save its weights."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_model

from config import ModelConfig, TrainConfig
from data import Sampler
from model import Net
from optim import build_optimizer, lr_scale
from prepare import Budget, checkpoint_path, trial_seed


def train(model: Net, cfg: TrainConfig, budget: Budget) -> None:
    sampler = Sampler(cfg)
    model.features.fit(sampler.table)
    optimizer = build_optimizer(model, cfg)
    model.train()
    while (progress := budget.progress()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * lr_scale(progress, cfg)
        rows, load = sampler.batch()  # (B, 3 + N), (B,)
        predicted = model(rows)  # (B,)
        loss = F.mse_loss(predicted, load)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        budget.spend(predicted, load)


def main() -> None:
    torch.manual_seed(trial_seed())
    model = Net(ModelConfig())
    train(model, TrainConfig(), Budget())
    save_model(model, str(checkpoint_path()))


if __name__ == "__main__":
    main()
