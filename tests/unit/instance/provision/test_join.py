"""The first start of a finished copy, as far as no server is needed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cnmysql import names
from cnmysql.errors import Unreachable
from cnmysql.mysql import read
from instance.process.reaper import Child, Reaper
from instance.provision import join, server
from instance.provision.frame import Job
from instance.provision.progress import Progress
from instance.provision.server import ProgramFailed, Tools
from instance.provision.volume import Mark
from instance.provision.workdir import WorkDir
from instance.settings import Paths, Settings
from tests.unit.kube.virtual import LoopClock, run

HOUR = 3600.0


class Session:
    """A login at the recovered copy."""

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, recovery: float) -> float:
    """Verify a copy whose server answers after that many seconds, if it answers: how long it took."""
    monkeypatch.setattr(server, "POLL_SECONDS", 10.0)

    async def verify() -> float:
        clock = LoopClock()
        began = clock.monotonic()

        async def connect(_: object) -> Session:
            if clock.monotonic() - began < recovery:
                raise Unreachable("no socket")
            return Session()

        exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def spawn(*_: object) -> tuple[Child, None]:
            return Child(1, exited), None

        async def end(*_: object) -> int:
            return 0

        async def nothing(*_: object) -> tuple[str, ...]:
            return ()

        monkeypatch.setattr(server, "connect", connect)
        monkeypatch.setattr(server, "end", end)
        monkeypatch.setattr(Tools, "spawn", spawn)
        monkeypatch.setattr(read, "tables_not_cloned", nothing)
        await join._verify(job(tmp_path, clock))
        return clock.monotonic() - began

    return run(verify())


def job(tmp_path: Path, clock: LoopClock) -> Job:
    paths = Paths(volume=tmp_path, run=tmp_path, credentials=tmp_path)
    settings = Settings(
        mode="join", cluster="db", namespace="shop", instance="db-1", cluster_uid="uid", pod_uid="p", paths=paths
    )
    file = paths.password_file("control")
    file.parent.mkdir(exist_ok=True)
    file.write_text("secret")
    watchdog: Any = None
    tools = Tools(settings, Reaper(), watchdog, clock)
    work = WorkDir(tmp_path, Mark("uid", names.instance("db", 1), "join"))
    return Job(tools, work, Progress(settings, clock, "join"))


def test_a_copy_may_recover_for_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be thrown away and made again, and the next would take as long."""
    assert verified(tmp_path, monkeypatch, recovery=5 * HOUR) == pytest.approx(5 * HOUR, abs=20)


def test_a_copy_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProgramFailed, match="does not answer"):
        verified(tmp_path, monkeypatch, recovery=7 * HOUR)
