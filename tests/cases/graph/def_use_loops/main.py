def train(rate, steps):
    total = 0
    for step in range(steps):
        loss = rate * step
        if loss > 1:
            rate = rate / 2
            continue
        total += loss
    return total


def search(limit):
    low = 0
    while low < limit:
        if low == 7:
            break
        low = low + 1
    else:
        low = -1
    return low
