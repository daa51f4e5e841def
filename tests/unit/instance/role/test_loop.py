"""The role loop before its first pass."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from cnmysql.clock import SystemClock
from instance.role.epoch import EpochDamaged
from instance.role.loop import RoleLoop
from instance.role.observe import Sources


class Damaged:
    """An epoch file that cannot be understood; keeps who read it."""

    def __init__(self) -> None:
        self.readers: list[int] = []

    def load(self) -> None:
        self.readers.append(threading.get_ident())
        raise EpochDamaged("no number")


async def test_the_epoch_is_read_first_and_not_on_the_event_loop() -> None:
    nothing: Any = None
    epochs = Damaged()
    edges: Any = SimpleNamespace(epochs=epochs)
    loop = RoleLoop(lambda _: edges, Sources(nothing, nothing, SystemClock(), lambda: None, lambda: True))
    with pytest.raises(EpochDamaged):
        await loop.run()
    (reader,) = epochs.readers
    assert reader != threading.get_ident()
