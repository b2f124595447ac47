import importlib

from engine.run import start


def __getattr__(name):
    return getattr(importlib.import_module("engine.lazy"), name)
