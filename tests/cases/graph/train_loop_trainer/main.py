import torch
import torch.nn as nn

from trainer import Trainer


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x)


Trainer(Net(), nn.CrossEntropyLoss()).fit([(torch.zeros(1, 2), torch.zeros(1).long())])
