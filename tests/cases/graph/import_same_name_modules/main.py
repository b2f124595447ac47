from left import util as left_util
from right import util as right_util

left_util.name()
right_util.name()
