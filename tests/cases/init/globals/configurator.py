import sys
from ast import literal_eval

for arg in sys.argv[1:]:
    if "=" not in arg:
        exec(open(arg).read())
    else:
        key, val = arg[2:].split("=")
        try:
            val = literal_eval(val)
        except (SyntaxError, ValueError):
            pass
        assert key in globals(), key
        globals()[key] = val
