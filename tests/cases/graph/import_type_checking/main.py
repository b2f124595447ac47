from __future__ import annotations

from typing import TYPE_CHECKING

from work import make

if TYPE_CHECKING:
    from work import Engine


def use(engine: Engine):
    engine.start()


use(make())
