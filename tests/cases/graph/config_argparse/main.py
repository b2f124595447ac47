import argparse

from work import run


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("-l", "--lr", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", dest="n_embd", type=int, default=64)
    parser.add_argument("--unused", action="store_true")
    return parser.parse_args()


args = parse()
rate = args.lr / args.batch_size
run(args)
