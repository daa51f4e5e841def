"""Instances without Pods (see `role_servers`) whose accounts are kept: by the real keeper, from files of passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.mysql.conn import ConnectParams
from instance.accounts.keeper import AccountKeeper, Edges
from instance.accounts.login import ControlLogin
from instance.role.apply import Accounts
from instance.role.loop import RoleLoop
from instance.server import Logins
from instance.settings import Paths, Settings
from tests.mysql.role_servers import CLOCK, City, Member
from tests.mysql.role_servers import until as within
from tests.mysql.servers import BACKUP, CONTROL, World
from tests.support.logins import accepted
from tests.support.mysqld import Mysqld


class SocketLogin(ControlLogin):
    """By the server's socket: the ports of these servers are the test's own."""

    def __init__(self, settings: Settings, server: Mysqld) -> None:
        super().__init__(settings)
        self.server = server

    def params(self, password: Secret) -> ConnectParams:
        user, path = names.ACCOUNT_CONTROL, str(self.server.socket)
        return ConnectParams(user, password, socket=path, unlogged=True, lock_wait_seconds=2)


async def until(condition: Callable[[], bool]) -> None:
    """Longer than a change of accounts takes, retries included."""
    await within(condition, 30.0)


def _changed(member: Member) -> Callable[[], None]:
    """The reporter is made after the keeper."""

    def changed() -> None:
        member.reporter.changed()

    return changed


class Kept(City):
    """Every member's accounts are kept by the password files below its directory."""

    def __init__(self, planet: World) -> None:
        super().__init__(planet)
        self.logins: dict[Path, SocketLogin] = {}
        self.keepers: dict[str, AccountKeeper] = {}

    def paths(self, server: Mysqld) -> Paths:
        home = server.home
        for account, password in (("control", CONTROL), ("backup", BACKUP)):
            file = home / "credentials" / account / "password"
            if not file.exists():
                file.parent.mkdir(parents=True)
                file.write_text(password.reveal())
        return Paths(
            volume=home,
            credentials=home / "credentials",
            tls_trust=home / "trust",
            tls_replication=self.world.directory / "replication",
        )

    def login(self, server: Mysqld) -> Logins:
        settings = Settings("run", "db", "ns", "db-1", "uid", paths=self.paths(server))
        return self.logins.setdefault(server.home, SocketLogin(settings, server))

    def accounts(self, member: Member, loop: RoleLoop) -> Accounts:
        server = member.process.server
        keeper = AccountKeeper(
            Edges(
                self.paths(server), member.server, member.process, self.logins[server.home], member.guard, CLOCK,
                is_open=lambda: loop.open and loop.edges.keeper.facts.armed, wake_role=loop.wake,
                changed=_changed(member),
            )
        )  # fmt: skip
        self.keepers[member.name] = keeper
        task = asyncio.get_running_loop().create_task(keeper.run())

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self.exits.push_async_callback(end)
        return keeper

    def mount(self, member: Member, account: str, password: str) -> None:
        (member.process.server.home / "credentials" / account / "password").write_text(password)
        self.keepers[member.name].again()

    def settled(self, member: Member) -> bool:
        report = self.keepers[member.name].report
        return report is not None and report.settled and not self.keepers[member.name].due

    async def pair(self) -> tuple[Member, Member]:
        """Both with everything in order."""
        first, second = await super().pair()
        first.query("CREATE TABLE my_app.t (id INT AUTO_INCREMENT PRIMARY KEY)")
        await second.reaches(lambda r: "1" in (r.gtid_executed or ""))
        for member in (first, second):
            await until(lambda m=member: self.settled(m))  # type: ignore[misc]
        return first, second


def logs_in(member: Member, user: str, password: str) -> bool:
    return accepted(lambda: member.process.server.connect(user=user, password=password))
