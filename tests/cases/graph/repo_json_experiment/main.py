import json

import losses
import models
from trainer import Trainer


class Experiment:
    def __init__(self, path):
        with open(path) as stream:
            self.config = json.load(stream)

    def make(self, section, module):
        entry = self.config[section]
        return getattr(module, entry["type"])(**entry["args"])

    def loss(self):
        return getattr(losses, self.config["loss"])


experiment = Experiment("experiment.json")
trainer = Trainer(experiment.make("arch", models), experiment.loss(), experiment.config["epochs"])
trainer.train()
