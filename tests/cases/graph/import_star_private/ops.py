def _carry():
    return "theirs"


def add():
    return _carry()
