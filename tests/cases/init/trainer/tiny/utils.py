import random
from ast import literal_eval

import torch


def set_seed(seed):
    random.seed(seed)
    torch.manual_seed(seed)


class Node:
    def override(self, words):
        for word in words:
            key, value = word.removeprefix("--").split("=")
            *path, last = key.split(".")
            at = self
            for name in path:
                at = getattr(at, name)
            assert hasattr(at, last), key
            try:
                value = literal_eval(value)
            except ValueError:
                pass
            setattr(at, last, value)
