"""Makes the complete data directory of a former Cluster ours: our accounts get this Cluster's Secrets.

Two private servers, one after the other, and nothing either of them does is a transaction:

1. with the binary log, read-only: a server that was killed may hold prepared transactions that only its binary log
   knows to be committed. Started without that log, InnoDB would roll them back ("Crash recovery" of the binary log in
   the manual), so recovery has to be over before
2. one without binary log and without grant tables: nobody knows the former passwords. It is reached only by its
   socket, and loads the grant tables before the first statement, so that the logins it proves at the end are real.

The mark of the directory is changed by the caller after all of this; until then a crash means doing it again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from cnmysql import log, names
from cnmysql.errors import Forbidden, SqlError
from cnmysql.log import Secret
from cnmysql.mysql import accounts, read_accounts
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.version import Version
from instance import upgrade
from instance.process.version import server_version
from instance.provision import initdb
from instance.provision.frame import ProvisionFailed
from instance.provision.progress import Progress
from instance.provision.server import NO_KEYS, PRIVATE, RECOVERY_SECONDS, PrivateServer, Tools

_log = log.get("adopt")

_WRITING: Final = ("--skip-log-bin", "--super-read-only=OFF", "--read-only=OFF")
RECOVER: Final = (*(o for o in PRIVATE if o not in _WRITING), *NO_KEYS, "--super-read-only=ON")
RESET: Final = (*PRIVATE, *NO_KEYS, "--skip-grant-tables")


async def adopt(tools: Tools, progress: Progress) -> None:
    """Recover the directory and reset our accounts in it. May be repeated. Raises ProvisionFailed, ProgramFailed or
    another of our errors."""
    data = tools.settings.paths.data
    version = await server_version(tools.reaper, tools.settings.mysqld)
    change = upgrade.check(await asyncio.to_thread(upgrade.evidence, data), version)
    if not change.allowed:
        raise ProvisionFailed("UpgradeRefused", change.reason)
    progress.stage("accounts")
    await _recover(tools)
    await asyncio.to_thread(upgrade.record, data, version)
    await _reset(tools, version)


async def _recover(tools: Tools) -> None:
    """Start as the server that the directory was last used by, and end cleanly."""
    async with PrivateServer(tools, tools.settings.paths.data, RECOVER) as server:
        try:
            password = tools.settings.paths.password("control")
            session = await server.connect(names.ACCOUNT_CONTROL, password, within=RECOVERY_SECONDS)
        except (Forbidden, SqlError):
            # An answer as good as any: the accounts are still the former Cluster's.
            _log.debug("the recovered server answers")
        else:
            await session.close()
        await server.stop()


async def _reset(tools: Tools, version: Version) -> None:
    paths = tools.settings.paths
    async with PrivateServer(tools, paths.data, RESET) as server:
        async with await server.connect(names.ACCOUNT_ROOT, Secret("")) as anybody:
            await anybody.execute(Statement("FLUSH PRIVILEGES"))
            partial_revokes = await initdb.partial_revokes(anybody)
            plan = initdb.plan(tools.settings, version, partial_revokes=partial_revokes)
            present = await read_accounts.internal_accounts(anybody)
            await initdb.run("accounts of the adopted data", anybody, accounts.adopted(plan, present))
        for account, password in (
            (names.ACCOUNT_ROOT, plan.root),
            (names.ACCOUNT_CONTROL, plan.control),
            (names.ACCOUNT_BACKUP, plan.backup),
        ):
            await _prove(server, account, password)
        await server.stop()


async def _prove(server: PrivateServer, account: str, password: Secret) -> None:
    try:
        async with await server.connect(account, password) as session:
            await session.execute(Statement("SELECT 1"))
    except (Forbidden, SqlError) as error:
        raise ProvisionFailed("BootstrapFailed", f"{account} cannot log in after adoption: {error.message}") from error
