"""Train the classifier for as long as the budget lasts, then save its weights."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_model

from config import ModelConfig, TrainConfig
from data import Loader
from model import Net
from optim import build_optimizer, lr_at
from prepare import Budget, checkpoint_path, trial_seed


def train(model: Net, cfg: TrainConfig, budget: Budget) -> None:
    loader = Loader(cfg)
    optimizer = build_optimizer(model, cfg)
    model.train()
    while (progress := budget.progress()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = lr_at(progress, cfg)
        images, labels = loader.batch()  # (B, SIZE, SIZE), (B,)
        logits = model(images)  # (B, N_CLASS)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        budget.spend(logits, labels)


def main() -> None:
    torch.manual_seed(trial_seed())
    model = Net(ModelConfig())
    train(model, TrainConfig(), Budget())
    save_model(model, str(checkpoint_path()))


if __name__ == "__main__":
    main()
