"""CLONE into a directory: who may, what is copied, what is read meanwhile, and that the copy starts and follows."""

from __future__ import annotations

import asyncio

import pytest

from cnmysql.errors import SqlError
from cnmysql.log import Secret
from cnmysql.mysql import read, statements
from cnmysql.mysql.conn import connect
from tests.mysql.servers import SCHEMA, World, bootstrapped, control, follow, local, replication, run
from tests.support.mysqld import Mysqld

REFUSED_BY_DONOR = 3862
DIRECTORY_EXISTS = 1007
DONOR_NOT_ALLOWED = 3869
INTERRUPTED = 1317
CONNECTION_LOST = 1158


@pytest.fixture
async def donor(planet: World) -> Mysqld:
    donor = await bootstrapped(planet, "donor")
    async with await connect(local(donor, "root", Secret(donor.root_password))) as c:
        await run(c, f"CREATE TABLE {SCHEMA}.t (a INT PRIMARY KEY AUTO_INCREMENT, b VARBINARY(1000))")
        await run(c, f"INSERT INTO {SCHEMA}.t (b) VALUES (RANDOM_BYTES(900))")
        for _ in range(12):
            await run(c, f"INSERT INTO {SCHEMA}.t (b) SELECT RANDOM_BYTES(900) FROM {SCHEMA}.t")
    return donor


@pytest.fixture
def seed(planet: World) -> Mysqld:
    """The closed, unlogged server a join clones with."""
    return planet.create("seed", "--skip-log-bin", "--skip-networking")


async def test_a_copy_starts_and_follows(planet: World, donor: Mysqld, seed: Mysqld) -> None:
    copy = planet.create("copy", "--skip-name-resolve", start=False, initialised=False)
    async with await connect(local(seed, "root", Secret(""))) as c, await connect(control(donor)) as d:
        await d.execute(statements.super_read_only(True))  # a donor may be closed to writers
        assert await read.clone_progress(c) is None
        await c.execute(statements.clone_setup(planet.source(donor)))
        await c.execute(statements.clone_into(planet.source(donor), str(copy.datadir)), timeout=60)
        progress = await read.clone_progress(c)
        assert progress is not None
        assert (progress.state, progress.errno, progress.stage) == ("Completed", 0, "")
        assert progress.bytes_done > 3_000_000
        assert progress.bytes_total > 0
        with pytest.raises(SqlError) as exists:
            await c.execute(statements.clone_into(planet.source(donor), str(copy.datadir)), timeout=60)
        assert exists.value.code == DIRECTORY_EXISTS
        source_state = await read.server_state(d)
        checksum = (await run(d, f"CHECKSUM TABLE {SCHEMA}.t")).rows
        await d.execute(statements.read_only(False))
    await asyncio.to_thread(copy.start)
    copy.root_password = donor.root_password
    async with await connect(control(copy)) as c, await connect(local(donor, "root", Secret(donor.root_password))) as w:
        state = await read.server_state(c)
        assert state.gtid_executed == state.gtid_purged == source_state.gtid_executed
        assert state.server_uuid != source_state.server_uuid
        assert (await run(c, f"CHECKSUM TABLE {SCHEMA}.t")).rows == checksum
        await follow(c, planet.source(donor))
        await run(w, f"INSERT INTO {SCHEMA}.t (b) VALUES ('later')")
        assert await read.wait_for_gtids(c, (await read.server_state(w)).gtid_executed, 20)
        assert (await replication(c)).io_running


async def test_only_the_bound_certificate_may_clone(planet: World, donor: Mysqld, seed: Mysqld) -> None:
    planet.write(planet.ca.issue("someone-else", o="shop", server=False), "other")
    target = f"{seed.home}/copy"
    async with await connect(local(seed, "root", Secret(""))) as c:
        with pytest.raises(SqlError) as unlisted:
            await c.execute(statements.clone_into(planet.source(donor), target), timeout=60)
        assert unlisted.value.code == DONOR_NOT_ALLOWED
        await c.execute(statements.clone_setup(planet.source(donor, identity="other")))
        with pytest.raises(SqlError) as stranger:
            await c.execute(statements.clone_into(planet.source(donor), target), timeout=60)
        assert stranger.value.code == REFUSED_BY_DONOR
        await c.execute(statements.clone_setup(planet.source(donor)))
        await c.execute(statements.clone_into(planet.source(donor), target), timeout=60)


async def test_progress_is_seen_and_a_clone_can_be_ended(planet: World, donor: Mysqld, seed: Mysqld) -> None:
    target = f"{seed.home}/copy"
    params = local(seed, "root", Secret(""))
    async with await connect(params) as c, await connect(params) as watcher:
        await run(c, "SET GLOBAL clone_max_data_bandwidth=1", "SET GLOBAL clone_autotune_concurrency=OFF")
        await c.execute(statements.clone_setup(planet.source(donor)))
        task = asyncio.create_task(c.execute(statements.clone_into(planet.source(donor), target), timeout=60))
        async with asyncio.timeout(30):
            while True:
                seen = await read.clone_progress(watcher)
                if seen is not None and seen.stage == "FILE COPY" and 0 < seen.bytes_done < seen.bytes_total:
                    break
                assert not task.done(), task.result()
                await run(watcher, "DO SLEEP(0.01)")
        assert seen.state == "In Progress"
        # The clone sleeps to keep to its bandwidth, and the kill waits for it.
        await watcher.execute(statements.kill_query(c.thread_id), timeout=60)
        with pytest.raises(SqlError) as ended:
            await task
        assert ended.value.code in (INTERRUPTED, REFUSED_BY_DONOR, CONNECTION_LOST)


async def test_tables_that_would_be_left_behind_are_named(donor: Mysqld) -> None:
    async with await connect(control(donor)) as c:
        assert await read.tables_not_cloned(c) == ()
        await run(c, f"CREATE TABLE {SCHEMA}.isam (a INT) ENGINE=MyISAM", f"CREATE VIEW {SCHEMA}.v AS SELECT 1")
        await run(c, f"CREATE TABLE {SCHEMA}.csv (a INT NOT NULL) ENGINE=CSV")
        assert await read.tables_not_cloned(c) == (f"{SCHEMA}.csv", f"{SCHEMA}.isam")
        assert await read.tables_not_cloned(c, limit=1) == (f"{SCHEMA}.csv",)
