import math
from settings import rate as base

step = 0
limit: int = 3


def advance(by):
    global step
    local = by * base
    step += local
    return math.sqrt(limit)


for turn in range(limit):
    step = turn
