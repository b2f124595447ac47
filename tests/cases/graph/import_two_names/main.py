from lib import tools

tools.go()
