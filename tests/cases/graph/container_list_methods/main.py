def one():
    return 1


def two():
    return 2


def three():
    return 3


def four():
    return 4


steps = [one]
steps.append(two)
steps.extend([three])
steps += [four]
for step in steps:
    step()
for step in steps[:]:
    step()
for step in reversed(steps):
    step()
for place, step in enumerate(steps):
    step()
for left, right in zip([one, one], [two, two]):
    right()
