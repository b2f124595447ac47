def build(settings):
    depth = settings["depth"]
    return depth
