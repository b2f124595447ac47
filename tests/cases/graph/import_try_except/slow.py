def scan(items):
    return items
