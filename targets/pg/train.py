"""Train the agent by advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783) while the budget lasts, then save its weights."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_model
from torch.nn.utils import clip_grad_norm_

from config import ModelConfig, TrainConfig
from model import Agent
from optim import build_optimizer, lr_at
from prepare import Budget, checkpoint_path, trial_seed
from rollout import Collector, estimate_advantages


def train(model: Agent, cfg: TrainConfig, budget: Budget) -> None:
    collector = Collector(cfg, budget)
    optimizer = build_optimizer(model, cfg)
    while (progress := budget.progress()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = lr_at(progress, cfg)
        batch = collector.collect(model)
        advantages = estimate_advantages(batch, cfg)  # (T, N)
        returns = advantages + batch.values[:-1]  # (T, N)
        logits, values = model(batch.views.flatten(0, 1))  # (T * N, N_ACTIONS), (T * N,)
        surprise = F.cross_entropy(logits, batch.actions.flatten(), reduction="none")  # (T * N,), -ln p(action)
        policy_loss = (surprise * advantages.flatten()).mean()
        value_loss = F.mse_loss(values, returns.flatten())
        log_probs = F.log_softmax(logits, dim=-1)  # (T * N, N_ACTIONS)
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1).mean()  # of the choice, which stays undecided longer for a bonus
        loss = policy_loss + cfg.value_coef * value_loss - cfg.entropy_coef * entropy
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), cfg.clip)
        optimizer.step()


def main() -> None:
    torch.manual_seed(trial_seed())
    model = Agent(ModelConfig())
    train(model, TrainConfig(), Budget())
    save_model(model, str(checkpoint_path()))


if __name__ == "__main__":
    main()
