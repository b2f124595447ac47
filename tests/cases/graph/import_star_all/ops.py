__all__ = ["mul", "_carry"]


def add():
    return 0


def mul():
    return 1


def _carry():
    return 2
