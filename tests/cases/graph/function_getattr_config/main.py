import json

import metrics
import models

with open("config.json") as stream:
    config = json.load(stream)


def make(config, section, module):
    kind = config[section]["type"]
    return getattr(module, kind)(**config[section]["args"])


model = make(config, "arch", models)
model.forward()
