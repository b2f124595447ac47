from tools import go as start
from pkg import deep

start()
deep.down()
