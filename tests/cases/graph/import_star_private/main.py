def _carry():
    return "ours"


from ops import *

_carry()
add()
