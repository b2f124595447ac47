import torch
import torch.nn as nn
import torch.nn.functional as F


class LM(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 8)

    def forward(self, x, targets=None):
        logits = self.head(x)
        loss = None if targets is None else F.cross_entropy(logits, targets)
        return logits, loss


model = LM()
optimizer = torch.optim.AdamW(model.parameters())
scaler = torch.amp.GradScaler("cpu", enabled=False)
for micro in range(2):
    logits, loss = model(torch.zeros(3, 4), torch.zeros(3).long())
    loss = loss / 2
    scaler.scale(loss).backward()
scaler.unscale_(optimizer)
torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
scaler.step(optimizer)
scaler.update()
optimizer.zero_grad()
