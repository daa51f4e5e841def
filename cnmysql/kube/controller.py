"""Workers that drain a queue through one reconcile function. Level-triggered: they get a key and never an event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cnmysql import log
from cnmysql.errors import CnmysqlError, Conflict, Terminal
from cnmysql.kube.workqueue import QueueClosed, WorkQueue

RECONCILE_LIMIT: Final = 300.0


@dataclass(frozen=True)
class Result:
    """What a reconcile that did well asks for: to be called again after so many seconds, or not by itself (None)."""

    requeue_after: float | None = None


class ControllerMetrics(Protocol):
    def reconciled(self, outcome: str) -> None:
        """One reconcile ended: `done`, `retry`, `conflict`, `terminal` or `failed`."""


class NoControllerMetrics:
    """Reports to nobody."""

    def reconciled(self, outcome: str) -> None:
        return


class Controller:
    """`workers` concurrent reconciles of different keys; a failure concerns its key alone.

    Errors: those with `retry` come back with backoff (after `retry_after` when given); Terminal is logged and waits
    for the next event or resync; anything else is a bug, logged with its stack, and comes back with backoff.
    One reconcile may last `limit` seconds; it is cancelled then and comes back.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue,
        reconcile: Callable[[str], Awaitable[Result]],
        *,
        workers: int = 1,
        limit: float = RECONCILE_LIMIT,
        metrics: ControllerMetrics | None = None,
    ) -> None:
        self.name = name
        self.queue = queue
        self._reconcile = reconcile
        self._workers = workers
        self._limit = limit
        self._metrics: ControllerMetrics = metrics if metrics is not None else NoControllerMetrics()
        self._log = log.get(name)

    async def run(self) -> None:
        """Work until cancelled, or until the queue is shut down: then the reconciles in progress end first."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name} worker {number}")

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueClosed:
                return
            try:
                await self._once(key)
            finally:
                self.queue.done(key)

    async def _once(self, key: str) -> None:
        try:
            async with asyncio.timeout(self._limit):
                result = await self._reconcile(key)
        except Terminal as error:
            self.queue.forget(key)
            self._metrics.reconciled("terminal")
            self._log.error("cannot reconcile until something changes", key=key, error=error.message)
        except CnmysqlError as error:
            self._retry(key, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # we are being stopped; anything else is a cancellation that leaked out of the reconcile
            self._failed(key, error)
        except Exception as error:  # noqa: BLE001 - a bug met by one key must not stop the others
            self._failed(key, error)
        else:
            self.queue.forget(key)
            self._metrics.reconciled("done")
            if result.requeue_after is not None:
                self.queue.add_after(key, result.requeue_after)

    def _retry(self, key: str, error: CnmysqlError) -> None:
        wait = self.queue.add_rate_limited(key, at_least=error.retry_after or 0.0)
        if isinstance(error, Conflict):
            # Someone else wrote first; normal, and the next pass sees it.
            self._metrics.reconciled("conflict")
            self._log.debug("conflict, reading again", key=key, error=error.message)
        else:
            self._metrics.reconciled("retry")
            self._log.warning("reconcile failed, will retry", key=key, seconds=round(wait, 3), error=error.message)

    def _failed(self, key: str, error: BaseException) -> None:
        wait = self.queue.add_rate_limited(key)
        self._metrics.reconciled("failed")
        self._log.error("reconcile failed with a bug", key=key, seconds=round(wait, 3), exc_info=error)
