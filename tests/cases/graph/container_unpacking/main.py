def one():
    return 1


def two():
    return 2


def three():
    return 3


def pair():
    return one, two


left, right = one, two
left()
head, *tail = [one, two, three]
head()
for item in tail:
    item()
(a, (b, c)) = (one, (two, three))
c()
low, high = pair()
high()
left, right = right, left
left()
for name, step in [("a", one), ("b", three)]:
    step()
