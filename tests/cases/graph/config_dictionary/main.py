from settings import CONFIG


def build(config):
    width = config["width"]
    return width * config.get("depth", 1)


rate = CONFIG["lr"]
CONFIG["lr"] = rate / 2
build(CONFIG)
