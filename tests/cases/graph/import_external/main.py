import json
import os.path
from collections import OrderedDict
from pathlib import Path

json.dumps({})
os.path.join("a", "b")
OrderedDict()
Path("a").exists()
