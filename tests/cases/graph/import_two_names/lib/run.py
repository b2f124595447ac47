import tools

tools.go()
