import json
from pathlib import Path


def load(path):
    return json.loads(Path(path).read_text())


with open("config.json") as stream:
    config = json.load(stream)
rate = config["optim"].get("lr", 0.1)
extra = load("extra.json")
seed = extra["seed"]
