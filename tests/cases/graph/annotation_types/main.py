from __future__ import annotations

from typing import Optional

from parts import Engine, Wheel


def plain(engine: Engine):
    engine.start()


def optional(engine: Optional[Engine], spare: Engine | None = None):
    engine.start()
    spare.start()


def quoted(engine: "Engine"):
    engine.start()


def several(wheels: list[Wheel], named: dict[str, Wheel]):
    for wheel in wheels:
        wheel.turn()
    named["left"].turn()


def made() -> Engine:
    return load("engine.bin")


class Car:
    engine: Engine

    def drive(self):
        self.engine.start()
        made().start()
