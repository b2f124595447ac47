import engine

engine.start()
engine.model()
