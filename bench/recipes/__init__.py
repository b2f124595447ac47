"""How to train one repository a little: a module each, named after the folder, with the files that it runs and a function that does it.

The drivers are ours and start the repositories' own scripts, with data that is made here and sizes that a CPU trains in a second.
"""
