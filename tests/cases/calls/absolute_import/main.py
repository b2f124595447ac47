import tools
import pkg.deep as deep


def run():
    tools.go()
    deep.down()
