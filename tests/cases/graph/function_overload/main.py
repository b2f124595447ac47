from typing import overload


@overload
def read(path: str) -> str: ...


@overload
def read(path: int) -> int: ...


def read(path):
    return clean(path)


def clean(path):
    return path


read("a")
read(1)
