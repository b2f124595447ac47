"""Train a letter model; `python train.py config/tiny.py --key=value` overrides the constants below."""

import os
import pickle
import time

import numpy as np
import torch

from model import Config, Net

# ---
out_dir = "out"
eval_interval = 200
eval_iters = 4
log_interval = 1
wandb_log = False
dataset = "words"
batch_size = 8
block_size = 16
n_embd = 64
learning_rate = 6e-4
max_iters = 60000
decay_iters = 60000
device = "cuda"
compile = True
# ---
exec(open("configurator.py").read())

os.makedirs(out_dir, exist_ok=True)
torch.manual_seed(1337)
data_dir = os.path.join("data", dataset)


def get_batch(split):
    data = np.fromfile(os.path.join(data_dir, "train.bin" if split == "train" else "val.bin"), dtype=np.uint8)
    at = torch.randint(len(data) - block_size, (batch_size,))
    x = torch.stack([torch.from_numpy(data[i : i + block_size].astype(np.int64)) for i in at])
    y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + block_size].astype(np.int64)) for i in at])
    return x.to(device), y.to(device)


iter_num = 0
best_val_loss = 1e9
with open(os.path.join(data_dir, "meta.pkl"), "rb") as f:
    meta = pickle.load(f)
model = Net(Config(vocab_size=meta["vocab_size"], block_size=block_size, n_embd=n_embd)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
if compile:
    model = torch.compile(model)


@torch.no_grad()
def estimate_loss():
    out = {}
    model.eval()
    for split in ["train", "val"]:
        losses = torch.zeros(eval_iters)
        for k in range(eval_iters):
            _, loss = model(*get_batch(split))
            losses[k] = loss.item()
        out[split] = losses.mean()
    model.train()
    return out


def get_lr(it):
    return learning_rate * max(0.1, 1 - it / decay_iters)


if wandb_log:
    import wandb

    wandb.init(project="letters")
t0 = time.time()
while True:
    for group in optimizer.param_groups:
        group["lr"] = get_lr(iter_num)
    if iter_num % eval_interval == 0:
        losses = estimate_loss()
        print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
        if losses["val"] < best_val_loss:
            best_val_loss = losses["val"]
            torch.save(model.state_dict(), os.path.join(out_dir, "ckpt.pt"))
    logits, loss = model(*get_batch("train"))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    t1 = time.time()
    if iter_num % log_interval == 0:
        print(f"iter {iter_num}: loss {loss.item():.4f}, time {(t1 - t0) * 1000:.2f}ms")
    t0 = t1
    iter_num += 1
    if iter_num > max_iters:
        break
