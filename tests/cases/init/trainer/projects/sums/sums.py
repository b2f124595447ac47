"""Teach a network to add two digits."""

import os
import sys

import torch
from torch.utils.data import Dataset
from torch.utils.data.dataloader import DataLoader

from tiny.model import Adder
from tiny.trainer import Trainer
from tiny.utils import Node, set_seed


def get_config():
    C = Node()
    C.system = Node()
    C.system.seed = 3407
    C.system.work_dir = "./out/sums"
    C.model = Adder.get_default_config()
    C.trainer = Trainer.get_default_config()
    C.trainer.learning_rate = 5e-3
    return C


class Sums(Dataset):
    def __init__(self, split):
        order = torch.randperm(100, generator=torch.Generator().manual_seed(1337))
        self.rows = order[:20] if split == "test" else order[20:]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, at):
        a, b = divmod(int(self.rows[at]), 10)
        return torch.tensor([a, b]), torch.tensor(a + b)


if __name__ == "__main__":
    config = get_config()
    config.override(sys.argv[1:])
    os.makedirs(config.system.work_dir, exist_ok=True)
    set_seed(config.system.seed)
    train_dataset, test_dataset = Sums("train"), Sums("test")
    model = Adder(config.model)
    trainer = Trainer(config.trainer, model, train_dataset)

    def eval_split(trainer, split):
        dataset = {"train": train_dataset, "test": test_dataset}[split]
        results = []
        for x, y in DataLoader(dataset, batch_size=50):
            logits, _ = model(x.to(trainer.device))
            results += (logits.argmax(1).cpu() == y).tolist()
        rt = torch.tensor(results, dtype=torch.float)
        print("%s final score: %d/%d = %.2f%% correct" % (split, rt.sum(), len(results), 100 * rt.mean()))
        return rt.sum()

    top_score = 0

    def batch_end_callback(trainer):
        global top_score
        if trainer.iter_num % 10 == 0:
            print(f"iter {trainer.iter_num}: train loss {trainer.loss.item():.5f}")
        if trainer.iter_num % 50 == 0:
            model.eval()
            with torch.no_grad():
                train_score = eval_split(trainer, "train")
                test_score = eval_split(trainer, "test")
            if train_score + test_score > top_score:
                top_score = train_score + test_score
                print(f"saving model with new top score of {top_score}")
                torch.save(model.state_dict(), os.path.join(config.system.work_dir, "model.pt"))
            model.train()

    trainer.set_callback("on_batch_end", batch_end_callback)
    trainer.run()
