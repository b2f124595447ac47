import sys

if sys.version_info > (3, 0):

    def read():
        return "new"

else:

    def read():
        return "old"


class Tool:
    def use(self):
        return 1


class Tool:
    def use(self):
        return 2


read()
Tool().use()
