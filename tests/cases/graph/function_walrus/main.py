class Match:
    def group(self):
        return 1


def find(found):
    return Match() if found else None


if (match := find(True)) is not None:
    match.group()
while (other := find(False)) is not None:
    other.group()
values = [item.group() for place in range(2) if (item := find(place))]
