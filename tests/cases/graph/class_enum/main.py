from enum import Enum


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"

    def limit(self):
        return 1

    @classmethod
    def best(cls):
        return cls.FAST


Mode.FAST.limit()
Mode("slow").limit()
Mode.best().limit()
for mode in Mode:
    mode.limit()
