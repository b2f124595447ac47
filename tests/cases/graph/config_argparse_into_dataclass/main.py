import argparse
from dataclasses import dataclass


@dataclass
class Config:
    lr: float
    depth: int


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--depth", type=int, default=2)
    args = parser.parse_args()
    config = Config(lr=args.lr, depth=args.depth)
    train(config)


def train(config):
    rate = config.lr
    return rate


main()
