import torch
import torch.nn as nn

channels = 8
classes = 10
rate = 0.1

stem = nn.Conv2d(3, channels, kernel_size=3)
drop = nn.Dropout(rate)
head = nn.Linear(in_features=channels, out_features=classes)
scale = nn.Parameter(torch.ones(channels))
