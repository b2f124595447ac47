import argparse

parser = argparse.ArgumentParser()
optim = parser.add_argument_group("optimizer")
optim.add_argument("--lr", type=float, default=0.1)
commands = parser.add_subparsers(dest="command")
train = commands.add_parser("train")
train.add_argument("--depth", type=int, default=2)
args, rest = parser.parse_known_args()
config = vars(args)
rate = config["lr"]
depth = getattr(args, "depth")
