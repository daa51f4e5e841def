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
from instance.role.timing import LOOP_STALE
from instance.role.view import Unknown
from tests.unit.instance.role.views import server, view


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


@pytest.mark.parametrize(("age", "count"), [(0.0, 2), (LOOP_STALE - 0.5, 2), (LOOP_STALE + 0.5, None)])
async def test_dump_threads_are_known_for_as_long_as_the_loop_comes_round(age: float, count: int | None) -> None:
    nothing: Any = None
    clock = SystemClock()
    loop = RoleLoop(lambda _: nothing, Sources(nothing, nothing, clock, lambda: None, lambda: True))
    assert loop.dump_threads() is None
    loop.view = view(server=server(dump_threads=2, read_at=clock.boottime() - age))
    assert loop.dump_threads() == count
    loop.view = view(server=Unknown("mysqld is not running"))
    assert loop.dump_threads() is None
