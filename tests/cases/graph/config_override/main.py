import json

defaults = {"lr": 0.1, "depth": 2}
with open("override.json") as stream:
    defaults.update(json.load(stream))
merged = {**defaults, "seed": 1}
rate = defaults["lr"]
depth = merged["depth"]
