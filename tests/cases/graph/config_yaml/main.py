import yaml


class Trainer:
    def __init__(self, config):
        self.config = config

    def fit(self):
        rate = self.config["optim"]["lr"]
        return rate * self.config["epochs"]


Trainer(yaml.safe_load(open("conf/base.yaml"))).fit()
