import tools
import pkg.deep
import pkg.deep as deep

tools.go()
pkg.deep.down()
deep.down()
