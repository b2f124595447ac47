from .attention import *
from .basic import *
