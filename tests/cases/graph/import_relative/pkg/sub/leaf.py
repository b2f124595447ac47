from . import near
from .near import help_me
from .. import base
from ..base import start as begin


def run():
    near.help_me()
    help_me()
    base.start()
    begin()
