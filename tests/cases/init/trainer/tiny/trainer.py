import time
from collections import defaultdict

import torch
from torch.utils.data.dataloader import DataLoader

from tiny.utils import Node


class Trainer:
    @staticmethod
    def get_default_config():
        C = Node()
        C.device = "auto"
        C.num_workers = 4
        C.max_iters = None
        C.batch_size = 16
        C.learning_rate = 3e-3
        C.betas = (0.9, 0.95)
        C.grad_norm_clip = 1.0
        return C

    def __init__(self, config, model, train_dataset):
        self.config, self.model, self.train_dataset = config, model, train_dataset
        self.callbacks = defaultdict(list)
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        self.model = self.model.to(self.device)
        self.iter_num = 0

    def set_callback(self, event, callback):
        self.callbacks[event] = [callback]

    def trigger_callbacks(self, event):
        for callback in self.callbacks.get(event, []):
            callback(self)

    def run(self):
        model, config = self.model, self.config
        self.optimizer = model.configure_optimizers(config)
        loader = DataLoader(self.train_dataset, shuffle=True, batch_size=config.batch_size, num_workers=config.num_workers)
        model.train()
        self.iter_num, self.iter_time = 0, time.time()
        batches = iter(loader)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                batches = iter(loader)
                batch = next(batches)
            x, y = (t.to(self.device) for t in batch)
            logits, self.loss = model(x, y)
            model.zero_grad(set_to_none=True)
            self.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_norm_clip)
            self.optimizer.step()
            self.trigger_callbacks("on_batch_end")
            self.iter_num += 1
            if config.max_iters is not None and self.iter_num >= config.max_iters:
                break
