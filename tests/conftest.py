"""What holds for all tests: how long a made-up example takes is no property of the code."""

from hypothesis import settings

settings.register_profile("codegraft", deadline=None)
settings.load_profile("codegraft")
