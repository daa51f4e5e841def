"""What initdb and join say about themselves while they work: the body of GET /status on a Pod being provisioned."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

from cnmysql.clock import Clock, rfc3339
from cnmysql.protocol.report import (
    Frame,
    InstanceStatus,
    MysqldReport,
    Problem,
    ProblemReason,
    ProvisioningReport,
    ProvisionStage,
)
from instance.reporter import Publisher
from instance.settings import Settings


class Progress:
    """The current state; every change wakes the status streams."""

    def __init__(self, settings: Settings, clock: Clock, mode: Literal["initdb", "join"]) -> None:
        self._settings = settings
        self._clock = clock
        self._publisher = Publisher(self.current)
        self._provisioning = ProvisioningReport(mode=mode, stage="waiting")
        self._problem: Problem | None = None
        self._mysqld = MysqldReport(state="provisioning", since=rfc3339(clock.now()))

    async def status(self) -> InstanceStatus:
        """Answers `GET /status`."""
        return self.current()

    def frames(self) -> AsyncGenerator[Frame, None]:
        """Answers `GET /status/stream`."""
        return self._publisher.frames()

    def current(self) -> InstanceStatus:
        """The report as it is now."""
        return InstanceStatus(
            instance_name=self._settings.instance,
            pod_uid=self._settings.pod_uid,
            mysqld=self._mysqld,
            closed=True,
            not_ready_reason="being provisioned",
            provisioning=self._provisioning,
            problem=self._problem,
        )

    def stage(self, stage: ProvisionStage, *, donor: str | None = None) -> None:
        """The next stage has begun."""
        update = {"stage": stage, **({"donor": donor} if donor is not None else {})}
        self._provisioning = self._provisioning.model_copy(update=update)
        self._problem = None
        self._set("provisioning")

    def copied(self, done: int, total: int) -> None:
        """Bytes copied so far; `total` is 0 while unknown."""
        self._provisioning = self._provisioning.model_copy(update={"bytes_done": done, "bytes_total": total})
        self._publisher.changed()

    def waiting(self) -> None:
        """Another container holds the volume."""
        self._set("waiting")

    def problem(self, reason: ProblemReason, message: str) -> None:
        """Why it does not go on."""
        self._problem = Problem(reason=reason, message=message)
        self._publisher.changed()

    def _set(self, state: Literal["provisioning", "waiting"]) -> None:
        if state != self._mysqld.state:
            self._mysqld = MysqldReport(state=state, since=rfc3339(self._clock.now()))
        self._publisher.changed()
