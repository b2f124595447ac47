import os

import torch


class Corpus:
    def __init__(self, folder):
        self.words = {}
        self.train = self.read(os.path.join(folder, "train.txt"))
        self.valid = self.read(os.path.join(folder, "valid.txt"))
        self.test = self.read(os.path.join(folder, "test.txt"))

    def read(self, path):
        with open(path) as file:
            words = file.read().split()
        return torch.tensor([self.words.setdefault(word, len(self.words)) for word in words])
