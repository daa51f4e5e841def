"""Taking over a data directory, as far as no server is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnmysql import names
from cnmysql.clock import SystemClock
from cnmysql.mysql.version import Version
from instance import upgrade
from instance.process.reaper import Reaper
from instance.provision import adopt
from instance.provision.frame import ProvisionFailed
from instance.provision.progress import Progress
from instance.provision.server import Tools
from instance.settings import Paths, Settings
from tests.support.touches import touches


class Bench:
    """A former Cluster's data and a server of some version that never starts."""

    def __init__(self, volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = volume / Path(names.DATA_DIR).name
        self.data.mkdir()
        upgrade.record(self.data, Version(9, 7, 3))
        self.steps: list[str] = []
        self.program = Version(9, 7, 4)
        paths = Paths(volume=volume)
        self.settings = Settings(
            mode="initdb", cluster="db", namespace="shop", instance="db-1", cluster_uid="uid", pod_uid="p", paths=paths
        )
        monkeypatch.setattr(adopt, "server_version", self._version)
        monkeypatch.setattr(adopt, "_recover", self._recover)
        monkeypatch.setattr(adopt, "_reset", self._reset)

    async def adopt(self) -> None:
        watchdog: Any = None
        clock = SystemClock()
        progress = Progress(self.settings, clock, "initdb")
        await adopt.adopt(Tools(self.settings, Reaper(), watchdog, clock, 0), progress)

    async def _version(self, *_: Any) -> Version:
        return self.program

    async def _recover(self, _: Tools) -> None:
        self.steps.append("recover")

    async def _reset(self, _: Tools, version: Version) -> None:
        self.steps.append(f"reset under {version}")


async def test_the_event_loop_never_waits_for_the_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch)
    with touches(tmp_path) as found:
        await bench.adopt()
    assert found == []
    assert bench.steps == ["recover", "reset under 9.7.4"]
    assert upgrade.evidence(bench.data) == (Version(9, 7, 4),)


@pytest.mark.parametrize("program", [Version(8, 4, 6), Version(26, 7, 0)], ids=str)
async def test_data_of_another_series_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Version
) -> None:
    bench = Bench(tmp_path, monkeypatch)
    bench.program = program
    with pytest.raises(ProvisionFailed):
        await bench.adopt()
    assert bench.steps == []
    assert upgrade.evidence(bench.data) == (Version(9, 7, 3),)
