"""One comparison of the accounts: how they have to be, how the server has them, and the plan that follows from both."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace

from cnmysql import names
from cnmysql.mysql import read_accounts
from cnmysql.mysql.conn import Connection
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.version import Version
from cnmysql.protocol.accounts import OWNER, ROOT, AccountsOrder, OwnerOrder, RootOrder
from instance.accounts import mounted
from instance.accounts import plan as planning
from instance.accounts.plan import OUR_NAMES, Plan, Seen, Wanted
from instance.server import LocalServer
from instance.settings import Paths


@dataclass
class Orders:
    """What the operator has sent and is not in force yet."""

    root: RootOrder | None = None
    owner: OwnerOrder | None = None

    def take(self, given: AccountsOrder) -> None:
        self.root = given.root or self.root
        self.owner = given.owner or self.owner

    def forget(self, done: Collection[RootOrder | OwnerOrder]) -> None:
        self.root = None if self.root in done else self.root
        self.owner = None if self.owner in done else self.owner


@dataclass(frozen=True)
class Looked:
    """One comparison of what has to be with what is."""

    plan: Plan
    wanted: Wanted
    seen: Seen
    bypassing: tuple[str, ...]

    @property
    def done(self) -> dict[str, RootOrder | OwnerOrder]:
        """The orders that are in force when no step is left, by name."""
        found = ((ROOT, self.wanted.root), (OWNER, self.wanted.owner))
        return {name: order for name, order in found if order is not None and name not in self.plan.problems}


async def compare(server: LocalServer, paths: Paths, orders: Orders) -> Looked:
    """Read both sides. Raises what reading the files or the server raises."""
    session = await server.session("accounts")
    version = Version.parse(session.server_version)
    wanted = await asyncio.to_thread(mounted.wanted, paths, version)
    wanted = replace(wanted, root=orders.root, owner=orders.owner)
    seen = await _seen(session, version, wanted)
    bypassing = await read_accounts.bypassing_accounts(session)
    # Digests of passwords are slow on purpose.
    return Looked(await asyncio.to_thread(planning.plan, wanted, seen), wanted, seen, bypassing)


async def _seen(session: Connection, version: Version, wanted: Wanted) -> Seen:
    users = [*OUR_NAMES]
    if wanted.root is not None:
        users.append(names.ACCOUNT_ROOT)
    if wanted.owner is not None:
        users.append(wanted.owner.user)
    partial = (await session.execute(Statement("SELECT @@GLOBAL.partial_revokes"))).scalar()
    return Seen(
        version,
        bool(partial),
        await read_accounts.privileges(session),
        await read_accounts.accounts(session, tuple(users)),
    )
