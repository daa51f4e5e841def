"""A changed my.cnf: what is sent, what waits, what is refused, and what a restart forgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnmysql.errors import SqlError, Unreachable
from cnmysql.mysql.mycnf import file_hash
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.version import Version
from instance.config import LiveConfig, difference

V = Version(9, 7, 4)
HEAD = "# rendered\n[mysqld]\nserver_id = 1\n"


@dataclass
class Server:
    """Takes statements; refuses those whose text holds one of `refused`."""

    sent: list[str] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    away: bool = False

    async def execute(self, statement: Statement) -> None:
        if self.away:
            raise Unreachable("away")
        if any(word in statement.text for word in self.refused):
            raise SqlError(1231, "can't be set to the value")
        self.sent.append(statement.text)


@dataclass
class Process:
    generation: int = 1
    config_at_start: bytes | None = None


def live(tmp_path: Path, server: Server, start: str = "max_connections = 100\n") -> tuple[LiveConfig, Path, Process]:
    file = tmp_path / "my.cnf"
    file.write_text(HEAD + start)
    process = Process(1, file.read_bytes())
    return LiveConfig(file, process, server), file, process


def test_difference_separates_live_from_static() -> None:
    found = difference(
        {"max_connections": "100", "innodb_buffer_pool_instances": "1", "long_query_time": "1"},
        {"max_connections": "200", "innodb_buffer_pool_instances": "2"},
        V,
    )
    assert [(step.key, step.statement.text if step.statement else "") for step in found.steps] == [
        ("long_query_time", "SET GLOBAL `long_query_time` = DEFAULT"),
        ("max_connections", "SET GLOBAL `max_connections` = 200"),
    ]
    assert found.pending == ("innodb_buffer_pool_instances",)


def test_a_value_that_mysqld_would_misread_is_rejected_before_it_is_sent() -> None:
    found = difference({}, {"max_connections": "1GB"}, V)
    assert found.steps == () and "max_connections" in found.rejected


async def test_an_unchanged_file_sends_nothing(tmp_path: Path) -> None:
    server = Server()
    config, file, _ = live(tmp_path, server)
    report = await config.apply(V)
    assert server.sent == [] and report.applied
    assert report.file_hash == file_hash(file.read_bytes())


async def test_a_change_is_sent_once(tmp_path: Path) -> None:
    server = Server()
    config, file, _ = live(tmp_path, server)
    file.write_text(HEAD + "max_connections = 200\n")
    assert (await config.apply(V)).applied
    assert (await config.apply(V)).applied
    assert server.sent == ["SET GLOBAL `max_connections` = 200"]


async def test_a_removed_line_goes_back_to_the_default(tmp_path: Path) -> None:
    server = Server()
    config, file, _ = live(tmp_path, server)
    file.write_text(HEAD)
    assert (await config.apply(V)).applied
    assert server.sent == ["SET GLOBAL `max_connections` = DEFAULT"]


async def test_a_static_change_waits_and_is_gone_after_a_restart(tmp_path: Path) -> None:
    server = Server()
    config, file, process = live(tmp_path, server)
    file.write_text(HEAD + "max_connections = 100\ninnodb_buffer_pool_instances = 4\n")
    report = await config.apply(V)
    assert report.pending_restart == ("innodb_buffer_pool_instances",) and not report.applied
    process.generation, process.config_at_start = 2, file.read_bytes()
    assert (await config.apply(V)).applied and server.sent == []


async def test_what_was_set_live_is_not_believed_of_the_next_server(tmp_path: Path) -> None:
    server = Server()
    config, file, process = live(tmp_path, server)
    started_with = file.read_bytes()
    file.write_text(HEAD + "max_connections = 200\n")
    await config.apply(V)
    process.generation, process.config_at_start = 2, started_with
    await config.apply(V)
    assert server.sent == ["SET GLOBAL `max_connections` = 200"] * 2


async def test_a_refused_key_does_not_hold_up_the_others(tmp_path: Path) -> None:
    server = Server(refused=("long_query_time",))
    config, file, _ = live(tmp_path, server)
    file.write_text(HEAD + "long_query_time = 1\nmax_connections = 200\n")
    report = await config.apply(V)
    assert server.sent == ["SET GLOBAL `max_connections` = 200"]
    assert not report.applied and "can't be set" in report.rejected["long_query_time"]


async def test_a_server_that_is_away_is_asked_again(tmp_path: Path) -> None:
    server = Server(away=True)
    config, file, _ = live(tmp_path, server)
    file.write_text(HEAD + "max_connections = 200\n")
    with pytest.raises(Unreachable):
        await config.apply(V)
    server.away = False
    assert (await config.apply(V)).applied and len(server.sent) == 1


async def test_a_file_that_is_not_ours_is_an_error(tmp_path: Path) -> None:
    config, file, _ = live(tmp_path, Server())
    file.write_text("[mysqld]\n!include /etc/passwd\n")
    with pytest.raises(ValueError, match="unexpected line"):
        await config.apply(V)


async def test_without_a_running_server_nothing_is_done(tmp_path: Path) -> None:
    config, _, process = live(tmp_path, Server())
    process.config_at_start = None
    with pytest.raises(Unreachable):
        await config.apply(V)
