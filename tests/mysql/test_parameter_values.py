"""The tables of values are what mysqld says, to a running server and to one that is about to start."""

from __future__ import annotations

from pathlib import Path

import pymysql
import pytest

from cnmysql.mysql import statements, variables
from cnmysql.mysql.parameter_values import AT_START, ENUMERATIONS, NO_OPTIONS, SETS
from cnmysql.mysql.parameters import Class, classify, is_dynamic, literal
from tests.mysql.servers import VERSION
from tests.mysql.variables import OPTIONS
from tests.support.mysqld import Mysqld, MysqldError, MysqldFactory

VALUES = {**ENUMERATIONS, **SETS}


@pytest.fixture(scope="module")
def server(module_factory: MysqldFactory) -> Mysqld:
    return module_factory.create("values", options=OPTIONS)


@pytest.fixture(scope="module")
def directory(module_factory: MysqldFactory) -> Path:
    return module_factory.directory("values-cnf")


class Taken:
    """Whether a running server takes a value, and whether one starts with it as far as `--validate-config` knows."""

    def __init__(self, factory: MysqldFactory, server: Mysqld, directory: Path) -> None:
        self._factory = factory
        self._server = server
        self._file = directory / "my.cnf"

    def live(self, name: str, value: str) -> bool:
        try:
            self._server.query(statements.set_global(name, literal(name, value)).text)
        except pymysql.err.MySQLError:
            return False
        self._server.query(statements.set_global_default(name).text)
        return True

    def start(self, name: str, *values: str) -> bool:
        lines = (f'{name} = "{value}"' for value in values)
        self._file.write_text("\n".join(("[mysqld]", "plugin_load_add = mysql_clone.so", *lines)) + "\n")
        self._file.chmod(0o644)
        try:
            self._factory.distribution.run("mysqld", f"--defaults-file={self._file}", "--validate-config")
        except MysqldError:
            return False
        return True


@pytest.fixture
def taken(module_factory: MysqldFactory, server: Mysqld, directory: Path) -> Taken:
    return Taken(module_factory, server, directory)


@pytest.mark.parametrize("name", sorted(VALUES))
def test_mysqld_knows_every_member_and_no_other_word(taken: Taken, name: str) -> None:
    members = VALUES[name].split()
    assert taken.start(name, *members)
    for member in members:
        assert taken.live(name, member) or not is_dynamic(name, VERSION), member
    assert not taken.live(name, "BOGUS") and not taken.start(name, "BOGUS")
    assert not taken.live(name, members[0][:-1]), "a beginning is enough for a start alone"


def test_an_empty_member_is_overlooked_by_a_running_server_alone(taken: Taken) -> None:
    for value in ("ANSI,", ",ANSI", "ANSI,,TRADITIONAL"):
        assert taken.live("sql_mode", value) and not taken.start("sql_mode", value)
    assert not taken.live("sql_mode", "ANSI, TRADITIONAL") and not taken.start("sql_mode", "ANSI, TRADITIONAL")
    assert taken.live("sql_mode", "") and taken.start("sql_mode", "")


def test_of_what_is_rolled_a_running_server_is_no_judge(module_factory: MysqldFactory, taken: Taken) -> None:
    options = {
        "event_scheduler": ("DISABLED", False, True),
        "session_track_system_variables": ("nothing", True, False),
    }
    for name, (value, live, start) in options.items():
        assert (taken.live(name, value), taken.start(name, value)) == (live, start), name
    encryption = ("innodb_redo_log_encrypt", "innodb_undo_log_encrypt")
    assert {*options, *encryption} == AT_START
    server = module_factory.create("encrypted", options=OPTIONS)
    for name in encryption:
        server.query(statements.set_global(name, "ON").text)
        server.stop()
        with pytest.raises(MysqldError, match="mysqld ended with 1"):
            server.start(f"--{name.replace('_', '-')}=ON")
        server.start()


def test_exactly_these_dynamic_variables_are_no_options(taken: Taken, server: Mysqld) -> None:
    """A running server takes them, and none starts with them."""
    shown = dict(server.query("SHOW GLOBAL VARIABLES"))
    dynamic = [name for names in variables.DYNAMIC.values() for name in names.split()]
    ours = [name for name in dynamic if classify(name, VERSION) not in (Class.DENIED, Class.MANAGED)]
    quoted = {name: shown.get(name, "").replace("\\", "\\\\").replace('"', '\\"') for name in ours}
    assert len(ours) > 300
    assert {name for name in ours if not taken.start(name, quoted[name])} == NO_OPTIONS.keys()
