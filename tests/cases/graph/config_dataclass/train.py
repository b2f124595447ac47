from config import Config


def train(config: Config, extra):
    rate = config.lr
    steps = config.depth * extra
    return rate, steps


class Trainer:
    def __init__(self, cfg):
        self.cfg = cfg

    def fit(self):
        cfg = self.cfg
        print(cfg.seed)
        rate = self.cfg.lr
        return rate
