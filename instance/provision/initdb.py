"""A new database: initialise, our accounts, the application's schema and owner, the user's statements, root last.

Everything runs on a private server without binary log, so nothing of it is a transaction: every other instance of
the Cluster is a physical copy of this directory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from cnmysql import log, names
from cnmysql.errors import SqlError
from cnmysql.log import Secret
from cnmysql.mysql import accounts, internal, read_accounts, statements
from cnmysql.mysql.conn import Connection
from cnmysql.mysql.lexer import split
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.version import Version
from cnmysql.pki.identity import subject_and_issuer
from instance.process.version import server_version
from instance.provision.frame import Job, ProvisionFailed
from instance.provision.server import NO_KEYS, PRIVATE, PrivateServer, initialize
from instance.settings import Settings

_log = log.get("initdb")

ACCOUNT_SECONDS: Final = 30.0
USER_SECONDS: Final = 3600.0
"""Bound of one statement of the user's: they may load data."""


async def build(job: Job) -> str:
    """Fill the work directory. Raises ProvisionFailed, ProgramFailed or another of our errors."""
    tools, progress = job.tools, job.progress
    version = await server_version(tools.reaper, tools.settings.mysqld)
    progress.stage("initialize")
    await tools.program("mysqld --validate-config", f"--datadir={job.work.data}", "--validate-config")
    await initialize(tools, job.work.data)
    progress.stage("accounts")
    async with PrivateServer(tools, job.work.data, (*PRIVATE, *NO_KEYS)) as server:
        async with await server.connect(names.ACCOUNT_ROOT, Secret("")) as root:
            await _fill(root, job.settings, version)
        progress.stage("finish")
        await server.stop()
    return str(version)


async def _fill(root: Connection, settings: Settings, version: Version) -> None:
    found = plan(settings, version, partial_revokes=await partial_revokes(root))
    for host in await read_accounts.anonymous_hosts(root):
        await root.execute(accounts.drop_anonymous(host))
    await run("internal accounts", root, accounts.internal_accounts(found))
    await run("application database and owner", root, _application(found))
    await _user_statements(root, settings)
    await run("root", root, accounts.final(found))


def _application(plan: accounts.Bootstrap) -> tuple[Statement, ...]:
    """The schema and its owner, as far as they are asked for."""
    if plan.schema and plan.owner:
        return accounts.application(plan)
    if plan.owner:
        raise ProvisionFailed("BootstrapFailed", "spec.bootstrap.initdb.owner needs spec.bootstrap.initdb.database")
    if not plan.schema:
        return ()
    return (statements.create_schema(plan.schema, plan.charset, plan.collation), statements.use(plan.schema))


async def partial_revokes(root: Connection) -> bool:
    """Whether the server reads schema patterns as names, which decides how rights are granted."""
    return bool((await root.execute(Statement("SELECT @@GLOBAL.partial_revokes"))).scalar())


def plan(settings: Settings, version: Version, *, partial_revokes: bool) -> accounts.Bootstrap:
    """The accounts by the flags and the Secrets mounted now. Raises OSError for one that is not mounted."""
    paths = settings.paths
    subject, issuer = subject_and_issuer(paths.replication_tls.certificate.read_bytes())
    root = paths.bootstrap_secret("root")
    return accounts.Bootstrap(
        version=version,
        root=root,
        control=paths.password("control"),
        backup=paths.password("backup"),
        identity=internal.ReplicationIdentity(subject, issuer),
        schema=settings.database,
        owner=settings.owner,
        app=paths.bootstrap_secret("app") if settings.owner else Secret(""),
        charset=settings.character_set or None,
        collation=settings.collation or None,
        remote_root=root if settings.enable_superuser_access else None,
        partial_revokes=partial_revokes,
    )


async def run(what: str, root: Connection, found: Iterable[Statement]) -> None:
    """Every statement in turn. Raises ProvisionFailed, which names `what`."""
    try:
        for statement in found:
            await root.execute(statement, timeout=ACCOUNT_SECONDS)
    except SqlError as error:
        raise ProvisionFailed("BootstrapFailed", f"{what}: {error.message}") from error


async def _user_statements(root: Connection, settings: Settings) -> None:
    """postInitSQL, with the application's schema as default. Statement text appears in no message."""
    for number, text in enumerate(_post_init(settings), start=1):
        where = f"statement {number} of spec.bootstrap.initdb.postInitSQL"
        try:
            for piece in split(text):
                where = f"statement {number} of spec.bootstrap.initdb.postInitSQL, line {piece.line}"
                await root.execute(Statement(piece.text), timeout=USER_SECONDS)
        except SqlError as error:
            raise ProvisionFailed("BootstrapFailed", f"{where}: {error.message}") from error
        except ValueError as error:
            raise ProvisionFailed("BootstrapFailed", f"{where}: {error}") from error


def _post_init(settings: Settings) -> list[str]:
    try:
        found = json.loads(settings.paths.post_init.read_text())
    except FileNotFoundError:
        return []
    if not (isinstance(found, list) and all(isinstance(text, str) for text in found)):
        raise ProvisionFailed("BootstrapFailed", f"{settings.paths.post_init.name} is not a list of statements")
    return found
