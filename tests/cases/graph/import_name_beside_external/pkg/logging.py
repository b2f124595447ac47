import json
import logging


def setup():
    logging.getLogger("run")
    return json.dumps({})
