def first():
    return 1


def second():
    return 2


steps = [first, second]
pair = (first, second)
table = {"one": first, "two": second, "deep": {"three": [second]}}
steps[0]()
pair[1]()
pair[-1]()
table["one"]()
table["deep"]["three"][0]()
for step in steps:
    step()
