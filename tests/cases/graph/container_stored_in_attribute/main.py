class Stage:
    def __init__(self, name):
        self.name = name

    def run(self):
        return self.name


class Pipeline:
    def __init__(self, stages):
        self.stages = list(stages)
        self.by_name = {stage.name: stage for stage in self.stages}
        self.last = self.stages[-1]

    def run(self):
        for stage in self.stages:
            stage.run()
        for name in self.by_name:
            self.by_name[name].run()
        return self.last.run()


Pipeline([Stage("a"), Stage("b")]).run()
