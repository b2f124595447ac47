import pkg
from pkg import scan

scan()
pkg.scan()
