from . import b
from .b import g as h
from ..top import t


def f():
    b.g()
    h()
    t()
