import tomllib

from model import build

with open("config.toml", "rb") as stream:
    config = tomllib.load(stream)
rate = config["optim"]["lr"]
build(config["model"])
