import torch


def get_batch(split):
    rows = torch.zeros(2, 3, dtype=torch.long) if split == "train" else torch.ones(2, 3, dtype=torch.long)
    return rows, rows
