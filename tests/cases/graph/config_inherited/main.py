from config import Config, config


def start():
    rate = config.lr
    return rate


def resume(other: Config):
    if other.depth > 2:
        return other.lr
    return other.total


start()
resume(config)
