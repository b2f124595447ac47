from . import sound


def show():
    return sound.play()
