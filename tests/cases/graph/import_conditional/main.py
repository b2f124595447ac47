import sys

if sys.platform == "win32":
    from windows import clock
else:
    from posix_clock import clock

clock()
