from collections import defaultdict, deque
from itertools import chain


def log():
    return 1


def save():
    return 2


def stop():
    return 3


hooks = defaultdict(list)
hooks["end"].append(log)
for hook in hooks["end"]:
    hook()
queue = deque([save, stop])
for item in queue:
    item()
for each in chain([log], [stop]):
    each()
pending = {save}
for step in pending:
    step()
named = {}
named.setdefault("first", log)()
