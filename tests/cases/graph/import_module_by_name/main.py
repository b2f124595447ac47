import importlib

sound = importlib.import_module("plugins.sound")
sound.play()
importlib.import_module("plugins.image").show()
