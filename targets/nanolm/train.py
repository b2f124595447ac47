"""Train a GPT on bytes for as long as the budget lasts, on a GPU where there is one, then save its weights."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_model

from config import ModelConfig, TrainConfig
from data import Sampler
from model import GPT
from optim import build_optimizers, lr_scale
from prepare import Budget, checkpoint_path, trial_seed


def train(model: GPT, cfg: TrainConfig, budget: Budget, device: torch.device) -> None:
    sampler = Sampler(cfg, device)
    muon, adamw = build_optimizers(model, cfg)
    model.train()
    while (progress := budget.progress()) < 1.0:
        for group in [*muon.param_groups, *adamw.param_groups]:
            group["lr"] = group["initial_lr"] * lr_scale(progress, cfg)
        muon.zero_grad()
        adamw.zero_grad()
        for x, y in sampler.batch():  # (b, T), (b, T)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                logits = model(x)  # (b, T, VOCAB)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            loss = loss * len(x) / sampler.rows  # the parts add up to the mean over the batch
            loss.backward()
        muon.step()
        adamw.step()
        budget.spend(sampler.rows * sampler.length, logits, y)


def main() -> None:
    torch.manual_seed(trial_seed())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = GPT(ModelConfig()).to(device)
    train(model, TrainConfig(), Budget(), device)
    save_model(model, str(checkpoint_path()))


if __name__ == "__main__":
    main()
