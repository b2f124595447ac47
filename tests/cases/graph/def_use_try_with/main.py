def read(path):
    text = ""
    try:
        text = path.read()
        size = len(text)
    except OSError:
        return text
    with open(path) as stream:
        body = stream.read()
    return size, body
