def run(command, items):
    match command:
        case ["go", place]:
            target = place
        case {"stop": reason}:
            target = reason
        case other:
            target = other
    for key, (left, right) in items:
        target = target + left
    try:
        target = int(target)
    except ValueError as error:
        print(error)
    print(key)
    return target
