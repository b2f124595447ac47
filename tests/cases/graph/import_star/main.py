from ops import *

add()
