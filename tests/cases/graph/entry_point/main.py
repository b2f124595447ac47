import sys

from pkg import cli


def main(argv):
    return cli.run(argv)


def run(argv):
    return argv


if __name__ == "__main__":
    sys.exit(main(sys.argv))
