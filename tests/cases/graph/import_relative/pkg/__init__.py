from .base import start
