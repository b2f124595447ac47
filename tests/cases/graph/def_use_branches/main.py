def pick(flag, other):
    value = 1
    if flag:
        value = 2
    elif other:
        value = 3
        return value
    else:
        note = value
        print(note)
    result = value
    return result
