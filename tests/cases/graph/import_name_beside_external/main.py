import json
from pkg import logging

json.dumps({})
logging.setup()
