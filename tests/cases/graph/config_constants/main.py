import settings
from settings import DEPTH


def build():
    return settings.WIDTH * DEPTH


build()
