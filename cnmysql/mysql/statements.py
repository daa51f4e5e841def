"""The statements we send, spelled for the server's version. Pure: builders return `Statement` values.

What must hold around them (order, bounds, who may send) is the caller's; the docstrings say what the server does,
by the "SQL Statements" chapter of the manual and, where marked tried, by tests/mysql.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cnmysql import names
from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.sql import MAX_HOST, Statement, quote_account, quote_identifier, quote_string
from cnmysql.mysql.version import Feature, Version, words


@dataclass(frozen=True)
class Source:
    """Where a replica or a clone connects to, and the files it proves itself with."""

    host: str
    port: int = names.PORT_MYSQL
    user: str = names.ACCOUNT_REPLICATION
    ca: str = f"{names.TLS_TRUST_DIR}/{names.TRUST_SERVER_CA_KEY}"
    cert: str = f"{names.TLS_REPLICATION_DIR}/tls.crt"
    key: str = f"{names.TLS_REPLICATION_DIR}/tls.key"

    def __post_init__(self) -> None:
        if not 1 <= len(self.host) <= MAX_HOST:
            raise ValueError(f"a source host has 1 to {MAX_HOST} characters")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"{self.port} is not a TCP port")


# --- sessions


def session_setup(*, unlogged: bool, lock_wait_seconds: int, max_execution_ms: int) -> Statement:
    """First statement of every session: quoting rules, UTC and bounds that the server keeps by itself.

    max_execution_time bounds SELECT only. `unlogged` keeps what the session writes out of the binary log; it needs
    SYSTEM_VARIABLES_ADMIN or SESSION_VARIABLES_ADMIN.
    """
    logged = ", sql_log_bin=0" if unlogged else ""
    return Statement(
        "SET SESSION sql_mode='STRICT_ALL_TABLES', time_zone='+00:00', autocommit=1, wait_timeout=86400, "
        f"lock_wait_timeout={lock_wait_seconds}, innodb_lock_wait_timeout={lock_wait_seconds}, "
        f"max_execution_time={max_execution_ms}{logged}"
    )


UNSEEN: Final = "sql_log_off=1, long_query_time=31536000"
OUT_OF_LOGS: Final = Statement(f"SET SESSION {UNSEEN}")
"""From here on the session's statements are in neither the general nor the slow log, which write the stored form of a
password as it is."""
INTO_LOGS: Final = Statement("SET SESSION sql_log_off=DEFAULT, long_query_time=DEFAULT")


def use(schema: str) -> Statement:
    """Make a schema the session's default."""
    return Statement(f"USE {quote_identifier(schema)}")


# --- replication


def _source_options(version: Version, source: Source) -> str:
    w = words(version)
    p = w.source_prefix
    return ", ".join(
        (
            f"{p}HOST={quote_string(source.host)}",
            f"{p}PORT={source.port}",
            f"{p}USER={quote_string(source.user)}",
            f"{p}PASSWORD=''",
            f"{p}SSL=1",
            f"{p}SSL_CA={quote_string(source.ca)}",
            f"{p}SSL_CERT={quote_string(source.cert)}",
            f"{p}SSL_KEY={quote_string(source.key)}",
            f"{p}SSL_VERIFY_SERVER_CERT=1",
            f"{p}CONNECT_RETRY=1",
            # The default is 10 from 8.4 on: the receiver would give up for ever after ten seconds.
            f"{p}RETRY_COUNT=86400",
            f"{p}HEARTBEAT_PERIOD=2",
            f"{w.get_public_key}=0",
        )
    )


def configure_source(version: Version, source: Source) -> Statement:
    """Follow a source for the first time: GTID positions, TLS with a verified name, identity by certificate alone.

    Both replication threads must be stopped (3021, 3081). Deletes every relay log, received transactions included.
    """
    w = words(version)
    options = f"{_source_options(version, source)}, {w.source_prefix}AUTO_POSITION=1"
    if version.has(Feature.GTID_ONLY):
        options += ", GTID_ONLY=1, REQUIRE_ROW_FORMAT=1"
    return Statement(f"{w.change_source} {options}")


def repoint_source(version: Version, source: Source) -> Statement:
    """Follow another source; only the receiver must be stopped, the applier runs on and relay logs stay.

    With both threads stopped the server would delete received transactions, so send it with the applier running.
    """
    return Statement(f"{words(version).change_source} {_source_options(version, source)}")


def start_replica() -> Statement:
    """Start receiver and applier. 1200: no source configured; note 3083: they run already."""
    return Statement("START REPLICA")


def start_receiver() -> Statement:
    return Statement("START REPLICA IO_THREAD")


def start_applier() -> Statement:
    return Statement("START REPLICA SQL_THREAD")


def stop_replica() -> Statement:
    """Stop both threads. 1875: rpl_stop_replica_timeout passed, they are still stopping: poll."""
    return Statement("STOP REPLICA")


def stop_receiver() -> Statement:
    return Statement("STOP REPLICA IO_THREAD")


def stop_applier() -> Statement:
    """Received transactions stay where they are. 1875: as for `stop_replica`."""
    return Statement("STOP REPLICA SQL_THREAD")


def reset_replica_all() -> Statement:
    """Forget every source. Deletes relay logs: unapplied transactions are gone, so apply them first."""
    return Statement("RESET REPLICA ALL")


def wait_for_gtids(gtids: GtidSet, seconds: int) -> Statement:
    """One row: 0 when all are applied, 1 when the time was over. Bounded by the seconds, not max_execution_time."""
    bound = (seconds + 5) * 1000
    return Statement(
        f"SELECT /*+ MAX_EXECUTION_TIME({bound}) */ WAIT_FOR_EXECUTED_GTID_SET({quote_string(str(gtids))}, {seconds})"
    )


# --- closing and opening


def offline_mode(on: bool) -> Statement:
    """ON refuses clients and ends their sessions; holders of CONNECTION_ADMIN are exempt. Needs CONNECTION_ADMIN."""
    return Statement(f"SET GLOBAL offline_mode={'ON' if on else 'OFF'}")


def super_read_only(on: bool) -> Statement:
    """ON sets read_only too and waits for commits in flight (1205 after lock_wait_timeout); OFF leaves read_only ON."""
    return Statement(f"SET GLOBAL super_read_only={'ON' if on else 'OFF'}")


def read_only(on: bool) -> Statement:
    """OFF also turns super_read_only OFF."""
    return Statement(f"SET GLOBAL read_only={'ON' if on else 'OFF'}")


def kill(thread: int) -> Statement:
    """End a session. 1094: it is gone already."""
    return Statement(f"KILL {int(thread)}")


def kill_query(thread: int) -> Statement:
    """End what a session runs, not the session. 1094: it is gone already."""
    return Statement(f"KILL QUERY {int(thread)}")


# --- process


def reload_tls() -> Statement:
    """Read certificate, key and CA again. 3888: they do not fit, the old ones stay in use. Sessions keep theirs."""
    return Statement("ALTER INSTANCE RELOAD TLS")


def set_global(name: str, literal: str) -> Statement:
    """Set a dynamic variable; `literal` comes from `cnmysql.mysql.parameters.literal`, never from a user as it is."""
    return Statement(f"SET GLOBAL {quote_identifier(name)} = {literal}")


def set_global_default(name: str) -> Statement:
    """Back to the compiled-in value, which is what a server without the line in my.cnf would start with."""
    return Statement(f"SET GLOBAL {quote_identifier(name)} = DEFAULT")


# --- clone


def clone_setup(source: Source) -> Statement:
    """Allow this donor and name the files CLONE connects with. The list takes no spaces and no IPv6 (3869)."""
    if any(character in source.host for character in " ,:"):
        raise ValueError(f"{source.host!r} cannot be a clone donor: host names and IPv4 addresses only")
    return Statement(
        f"SET GLOBAL clone_valid_donor_list={quote_string(f'{source.host}:{source.port}')}, "
        f"GLOBAL clone_ssl_ca={quote_string(source.ca)}, GLOBAL clone_ssl_cert={quote_string(source.cert)}, "
        f"GLOBAL clone_ssl_key={quote_string(source.key)}"
    )


def clone_into(source: Source, directory: str) -> Statement:
    """Copy the donor into a new directory (absolute, must not exist: 1007) and leave this server untouched.

    Returns when the copy is complete. 3862: the donor refused us or broke off; 3634: it already serves a clone.
    """
    if not directory.startswith("/"):
        raise ValueError("a clone needs an absolute directory")
    account = quote_account(source.user, source.host)
    return Statement(
        f"CLONE INSTANCE FROM {account}:{source.port} IDENTIFIED BY '' "
        f"DATA DIRECTORY = {quote_string(directory)} REQUIRE SSL"
    )


# --- schemas and accounts


def create_schema(name: str, charset: str | None = None, collation: str | None = None) -> Statement:
    """Create a schema unless it exists. Character set and collation are words of the server's own lists."""
    text = f"CREATE DATABASE IF NOT EXISTS {quote_identifier(name)}"
    if charset:
        text += f" CHARACTER SET {_word(charset)}"
    if collation:
        text += f" COLLATE {_word(collation)}"
    return Statement(text)


def drop_account(user: str, host: str) -> Statement:
    return Statement(f"DROP USER IF EXISTS {quote_account(user, host)}")


def _word(name: str) -> str:
    if not (name.isascii() and name.replace("_", "").isalnum()):
        raise ValueError(f"{name!r} is not the name of a character set or collation")
    return name
